// Role of node dispatch: a warp reads each of its tokens once and writes it to its final places in
// the own node and, for every other node that wants it, into a message, which it gives to the fabric.
//
// A message is put together before its place at the other end is free. It then waits for the credit
// of the message that had the place before; a credit is sent by the forwarder of that message, which
// waits for this rank's messages only, in their order. A warp takes its tokens in their order, too,
// so the earliest token of this rank that is not forwarded everywhere never waits for good
// (native/test/model/internode_model.py).
#pragma once

#include "device/numeric/fp8_cast.cuh"
#include "device/routing/claims.cuh"
#include "device/sync/quick_wait.cuh"
#include "device/transport/loopback.cuh"
#include "kernels/internode/row_places.cuh"
#include "kernels/internode/shapes.hpp"

namespace ep4j {

template <bool kCast>
class NodeMessageSender {
 public:
  __device__ NodeMessageSender(const NodeDispatchParams& params, const Destination* destinations,
                               uint64_t epoch, const LoopbackFabric& fabric,
                               const uint64_t* pardoned, uint32_t* scratch)
      : params_(params),
        view_(params.view),
        topology_(params.nodes.topology()),
        destinations_(destinations),
        epoch_(epoch),
        fabric_(fabric),
        pardoned_(pardoned),
        scratch_(scratch),
        message_{params.layout.form.row_bytes, params.layout.form.scale_words} {}

  // Worker w of W. All lanes.
  __device__ void run(int worker, int workers) {
    take_in_turn(view_.state->claimed, worker, workers, params_.num_tokens, [&](int token) {
      send(token);
      return !gave_up_;
    });
    if (lane_index() == 0 && stopped_ != 0) {
      atomicOr(&view_.state->stopped, stopped_);
    }
    count_traffic();
  }

 private:
  // Lane d: the row at destination d; expert-major, lane k: the row of choice k.
  __device__ FinalRow route(int token, TokenFacts& facts) {
    const int lane = lane_index();
    const RowForm& form = params_.layout.form;
    const bool mine = lane < params_.fanout;
    const int64_t entry = int64_t{token} * params_.fanout + lane;
    const int64_t choice = int64_t{token} * form.num_topk + lane;
    const int32_t ordinal = mine ? params_.handle.rows[entry] : -1;
    facts = {view_.rank, token, -1, 0.0f};
    if (!form.rank_major() && mine) {
      facts.expert = params_.handle.experts[entry];
    } else if (params_.topk_idx != nullptr && lane < form.num_topk) {
      facts.expert = form.index_bytes == 8
                         ? static_cast<int32_t>(static_cast<const int64_t*>(params_.topk_idx)[choice])
                         : static_cast<const int32_t*>(params_.topk_idx)[choice];
    }
    if (params_.topk_weights != nullptr && lane < form.num_topk) {
      facts.weight = params_.topk_weights[choice];
    }
    const bool masks_us =
        lane < view_.num_ranks &&
        ptx::load_relaxed_system(view_.own<uint64_t>(view_.control.masked(lane))) != pardoned_[lane];
    stopped_ |= __ballot_sync(kAllLanes, masks_us);
    FinalRow final = {-1, mine ? lane : 0};
    bool goes = mine && ordinal >= 0;
    if (!form.rank_major()) {
      goes = goes && facts.expert >= 0;
      final.peer = goes ? facts.expert / view_.local_experts : 0;
    }
    goes = goes && destinations_[final.peer].granted != 0 && (stopped_ >> final.peer & 1) == 0;
    if (goes) {
      int32_t base = 0;
      if (params_.counted != 0) {
        base = form.rank_major() ? destinations_[final.peer].base : view_.expert_base[facts.expert];
      }
      final.row = base + ordinal;
    }
    if (mine && params_.counted != 0) {
      params_.handle.rows[entry] = final.row;
    }
    return final;
  }

  __device__ void send(int token) {
    const int lane = lane_index();
    const int own = params_.nodes.node();
    // Lane n: of the token's message to node n. On its way while the row's places are found.
    number_ = lane < topology_.num_nodes() && lane != own
                  ? *params_.node_handle.message(token, lane)
                  : -1;
    TokenFacts facts;
    const FinalRow final = route(token, facts);
    const int node = final.row >= 0 ? topology_.node_of(final.peer) : -1;
    const uint32_t own_lanes = __ballot_sync(kAllLanes, node == own);
    RowPlace place = node == own ? place_of(params_.layout.form, destinations_, final)
                                 : RowPlace{nullptr, nullptr};
    const uint32_t nodes = nodes_with_message();
    uint32_t lanes = own_lanes;
    for_each_lane(nodes, [&](int to) {
      char* slot = params_.nodes.own<char>(outgoing(to));
      const uint32_t members = __ballot_sync(kAllLanes, node == to);
      write_header(slot, to, (members >> lane & 1) != 0 ? final.row : -1, facts);
      // The first of its rows stands for the message; a message may have none, of masked ranks only.
      if (members != 0 && lane == __ffs(static_cast<int>(members)) - 1) {
        place = {slot + message_.x(), reinterpret_cast<uint32_t*>(slot + message_.scales())};
      }
      lanes |= members & (~members + 1);
    });
    RowFacts(params_, destinations_).write(final, own_lanes, facts);
    write_scales(token, place, lanes);
    write_x(token, place, lanes);
    for_each_lane(nodes, [&](int to) { put_message(to); });
  }

  // Nodes that get a message of the token, bit n. Not those whose proxy takes none.
  __device__ uint32_t nodes_with_message() const {
    bool sends = number_ >= 0;
    if (sends) {
      const int proxy = topology_.proxy(view_.rank, lane_index());
      sends = destinations_[proxy].granted != 0 && (stopped_ >> proxy & 1) == 0 &&
              (silent_ >> proxy & 1) == 0;
    }
    return __ballot_sync(kAllLanes, sends);
  }

  __device__ int32_t number(int node) const { return __shfl_sync(kAllLanes, number_, node); }

  __device__ int64_t outgoing(int node) const {
    return params_.nodes.layout.outgoing(Topology::remote_of(node, params_.nodes.node()),
                                         number(node));
  }

  __device__ void write_header(char* slot, int node, int32_t row, const TokenFacts& facts) const {
    const int lane = lane_index();
    if (params_.layout.form.rank_major()) {
      row = __shfl_sync(kAllLanes, row, (topology_.first_rank(node) + lane) % kWarpLanes);
    }
    reinterpret_cast<int32_t*>(slot + NodeMessage::rows())[lane] = row;
    reinterpret_cast<int32_t*>(slot + NodeMessage::experts())[lane] = facts.expert;
    reinterpret_cast<float*>(slot + NodeMessage::weights())[lane] = facts.weight;
    if (lane == 0) {
      *reinterpret_cast<int32_t*>(slot + NodeMessage::token()) = facts.token;
    }
  }

  __device__ void write_scales(int token, const RowPlace& place, uint32_t lanes) const {
    const ScaleSource& scales = params_.scales;
    const int words = scales.words == nullptr ? 0 : params_.layout.form.scale_words;
    spread_scales(words, place.scales, lanes, [&](int word) {
      return scales.words[token * scales.stride_token + word * scales.stride_word];
    });
  }

  __device__ void write_x(int token, const RowPlace& place, uint32_t lanes) const {
    const char* source = params_.x + int64_t{token} * params_.source_row_bytes;
    if constexpr (!kCast) {
      spread<Once::kSource>(source, params_.source_row_bytes, place.x, lanes);
    } else {
      for (int begin = 0; begin < params_.source_row_bytes; begin += kCastChunkBytes) {
        cast(source, begin, place, lanes);
      }
    }
  }

  __device__ void cast(const char* source, int begin, const RowPlace& place, uint32_t lanes) const {
    const int bytes = min(kCastChunkBytes, params_.source_row_bytes - begin);
    const uint64_t target = reinterpret_cast<uint64_t>(place.x) + static_cast<uint64_t>(begin / 2);
    cast_chunk(source + begin, bytes, params_.cast, scratch_,
               [&](const LaneCodes& codes) { codes.spread(target, lanes); });
    __syncwarp();
    const int groups = bytes / kSourceGroupBytes;
    const int first = scale_words_of(begin / kSourceGroupBytes, params_.cast);
    const int words = scale_words_of(groups, params_.cast);
    for (int word = lane_index(); word - lane_index() < words; word += kWarpLanes) {
      const uint32_t value = word < words ? scale_word(scratch_, groups, word, params_.cast) : 0;
      spread_scale(value, first + word, first + words, place.scales, lanes);
    }
    __syncwarp();
  }

  __device__ void put_message(int node) {
    const InternodeLayout& layout = params_.nodes.layout;
    const int own = params_.nodes.node();
    const int32_t message = number(node);
    const int64_t place = message % layout.staging_rows;
    if (gave_up_ || (message >= layout.staging_rows && !await_credit(node, message))) {
      return;
    }
    const int remote = Topology::remote_of(own, node);  // as the proxy counts nodes
    const int64_t base = params_.nodes.base;
    fabric_.put({topology_.proxy(view_.rank, node), static_cast<int32_t>(message_.bytes()),
                 base + outgoing(node), base + layout.incoming(remote, place),
                 base + layout.signal(remote, place), MessageTag::word(epoch_, message)});
    if (lane_index() == node) {
      sent_++;
    }
  }

  // Whether the place of a message is free again.
  __device__ bool await_credit(int node, int32_t message) {
    const InternodeLayout& layout = params_.nodes.layout;
    const int32_t before = message - layout.staging_rows;
    const uint64_t wanted = MessageTag::word(epoch_, before);
    const uint64_t* word = params_.nodes.own<uint64_t>(layout.credit(
        Topology::remote_of(node, params_.nodes.node()), before % layout.staging_rows));
    const int proxy = topology_.proxy(view_.rank, node);
    auto quick = [&] { return ptx::load_acquire_system(word) == wanted; };
    auto look = [&](uint64_t& seen) {
      const uint64_t credit = ptx::load_acquire_system(word);
      seen = MessageTag::epoch(credit);
      return credit == wanted ? Look::kThere : Look::kNotYet;
    };
    const WaitSite site = {EP4J_STAGE_CREDIT, -1, epoch_, epoch_};
    const WaitOutcome outcome = quick_await(view_, site, 1u << proxy, quick, look);
    gave_up_ = outcome.gave_up;
    silent_ |= outcome.arrived == 0 ? 1u << proxy : 0;
    return outcome.arrived != 0;
  }

  __device__ void count_traffic() const {
    if (sent_ > 0) {
      const uint64_t rows = static_cast<uint64_t>(sent_);
      const int64_t row_bytes = message_.row_bytes + 4 * int64_t{message_.scale_words};
      NodeTraffic& traffic = params_.nodes.state->network[lane_index()];
      add_word(traffic.rows_sent, rows);
      add_word(traffic.bytes_sent, rows * static_cast<uint64_t>(row_bytes));
    }
  }

  const NodeDispatchParams& params_;
  const RankView& view_;
  const Topology& topology_;
  const Destination* destinations_;
  const uint64_t epoch_;
  const LoopbackFabric& fabric_;
  const uint64_t* pardoned_;  // [num_ranks] masks of this rank that were taken back
  uint32_t* scratch_;
  const NodeMessage message_;
  uint32_t stopped_ = 0;  // ranks that have masked this one
  uint32_t silent_ = 0;   // proxies that were masked while this warp waited for them
  bool gave_up_ = false;
  int32_t number_ = -1;  // lane n: of the token's message to node n
  int32_t sent_ = 0;     // lane n: messages to node n
};

}  // namespace ep4j
