// Role of node dispatch: a warp takes messages of one rank of another node out of their places and
// writes them to their final places in this node.
//
// A warp serves one source only. One that served two in turn could wait for a message of the first
// while the second, out of credits, holds up the first (seen in the model). Its messages are handled
// in their order, and nothing but their arrival is waited for.
#pragma once

#include "device/sync/quick_wait.cuh"
#include "device/transport/loopback.cuh"
#include "kernels/internode/row_places.cuh"
#include "kernels/internode/source_share.cuh"

namespace ep4j {

class Forwarder {
 public:
  __device__ Forwarder(const NodeDispatchParams& params, const Destination* destinations,
                       uint64_t epoch, const LoopbackFabric& fabric, const SourceShare& share)
      : params_(params),
        view_(params.view),
        topology_(params.nodes.topology()),
        destinations_(destinations),
        epoch_(epoch),
        fabric_(fabric),
        share_(share),
        message_{params.layout.form.row_bytes, params.layout.form.scale_words} {}

  // All lanes.
  __device__ void run() {
    const int32_t total = announced();
    if (params_.counted != 0 && share_.first == 0 && lane_index() == 0) {
      params_.node_handle.forwarded()[share_.node] = total;
    }
    for (int32_t message = share_.first; message < total; message += share_.step) {
      if (!await_message(message)) {
        if (lane_index() == 0) {
          atomicOr(&params_.nodes.state->lost, 1u << share_.node);
        }
        return;
      }
      forward(message);
      if (message + params_.nodes.layout.staging_rows < total) {
        give_credit(message);
      }
    }
  }

 private:
  // Messages that come, by the source's counts or by the handle.
  __device__ int32_t announced() const {
    if (params_.counted == 0) {
      return is_masked(view_, share_.source) ? 0 : params_.node_handle.forwarded()[share_.node];
    }
    const auto* counts = view_.own<CountsMessage>(
        view_.control.counts(view_.state->dispatches, share_.source));
    return counts->tag == epoch_ ? counts->node_rows : 0;
  }

  // False if it will not come: the source was masked, gave up, or has dropped the call.
  __device__ bool await_message(int32_t message) const {
    const InternodeLayout& layout = params_.nodes.layout;
    uint64_t* signal = params_.nodes.own<uint64_t>(
        layout.signal(share_.remote, message % layout.staging_rows));
    const uint64_t* dropped = params_.nodes.own<uint64_t>(layout.dropped(share_.remote));
    const uint64_t wanted = MessageTag::word(epoch_, message);
    bool came = false;
    auto quick = [&] { return came = transport::has_come(view_, share_.source, signal, wanted); };
    auto look = [&](uint64_t& seen) {
      if (quick() || Arrival::epoch(ptx::load_acquire_system(dropped)) == epoch_) {
        return Look::kThere;
      }
      seen = MessageTag::epoch(ptx::load_relaxed_system(signal));
      return Look::kNotYet;
    };
    const WaitSite site = {EP4J_STAGE_MESSAGE, -1, epoch_, epoch_};
    const WaitOutcome outcome = quick_await(view_, site, 1u << share_.source, quick, look);
    return outcome.arrived != 0 && __any_sync(kAllLanes, came);
  }

  __device__ void forward(int32_t message) const {
    const int lane = lane_index();
    const RowForm& form = params_.layout.form;
    const InternodeLayout& layout = params_.nodes.layout;
    char* slot = params_.nodes.own<char>(
        layout.incoming(share_.remote, message % layout.staging_rows));
    const bool masks_us = lane < view_.num_ranks && is_masked_by(view_, lane);
    const TokenFacts facts = {share_.source,
                              *reinterpret_cast<const int32_t*>(slot + NodeMessage::token()),
                              reinterpret_cast<const int32_t*>(slot + NodeMessage::experts())[lane],
                              reinterpret_cast<const float*>(slot + NodeMessage::weights())[lane]};
    FinalRow final = {reinterpret_cast<const int32_t*>(slot + NodeMessage::rows())[lane],
                      view_.rank};
    const uint32_t masked_by = __ballot_sync(kAllLanes, masks_us);
    if (form.rank_major()) {
      final.row = lane < topology_.ranks_per_node ? final.row : -1;
      final.peer = lane < topology_.ranks_per_node
                       ? topology_.first_rank(params_.nodes.node()) + lane
                       : view_.rank;
    } else if (final.row >= 0) {
      final.peer = facts.expert / view_.local_experts;
    }
    // Who has masked this rank meanwhile gets no further row; its own word says so.
    if (final.row >= 0 &&
        (destinations_[final.peer].granted == 0 || (masked_by >> final.peer & 1) != 0)) {
      final.row = -1;
    }
    const uint32_t lanes = __ballot_sync(kAllLanes, final.row >= 0);
    const RowPlace place = place_of(form, destinations_, final);
    RowFacts(params_, destinations_).write(final, lanes, facts);
    const uint32_t* scales = reinterpret_cast<const uint32_t*>(slot + message_.scales());
    spread_scales(form.scale_words, place.scales, lanes, [&](int word) { return scales[word]; });
    spread<Once::kTargets>(slot + message_.x(), form.row_bytes, place.x, lanes);
    if (params_.counted != 0) {
      record(message, final, facts);
    }
    __syncwarp();
    discard(slot, message_.bytes());
  }

  // For combine: where the message's rows are.
  __device__ void record(int32_t message, const FinalRow& final, const TokenFacts& facts) const {
    const int lane = lane_index();
    const NodeHandleView& handle = params_.node_handle;
    if (lane < handle.layout.fanout()) {
      handle.rows(share_.remote, message)[lane] = final.row;
      handle.ranks(share_.remote, message)[lane] = final.peer;
    }
    if (!params_.layout.form.rank_major() && lane < handle.layout.max_topk) {
      handle.weights(share_.remote, message)[lane] = facts.weight;
    }
  }

  // The message's place may be filled again: its loads are over. The warp says so itself: a word alone
  // costs less than asking for it. With a seed it may come late, like all else.
  __device__ void give_credit(int32_t message) const {
    const InternodeLayout& layout = params_.nodes.layout;
    const int remote = Topology::remote_of(params_.nodes.node(), share_.node);
    const Put credit = {share_.source, 0, 0, 0,
                        params_.nodes.base + layout.credit(remote, message % layout.staging_rows),
                        MessageTag::word(epoch_, message)};
    if (params_.nodes.seed == 0) {
      fabric_.set_at_once(credit);
    } else {
      fabric_.put(credit);
    }
  }

  const NodeDispatchParams& params_;
  const RankView& view_;
  const Topology& topology_;
  const Destination* destinations_;
  const uint64_t epoch_;
  const LoopbackFabric& fabric_;
  const SourceShare share_;
  const NodeMessage message_;
};

}  // namespace ep4j
