// Where one token's rows go. Lane d stands for destination rank d in rank-major order, lane k for
// choice k in expert-major order.
#pragma once

#include "device/ptx/memory.cuh"
#include "device/sync/warp.cuh"
#include "kernels/normal/dispatch_send.hpp"

namespace ep4j {

// Where a token's row goes, as this lane knows it.
struct RowTarget {
  int32_t row;   // at the destination; -1 for none
  int32_t peer;  // the destination
};

// What a token's routing and metadata are made of, loaded ahead of its use.
struct RouteInput {
  static constexpr int kScaleWords = 2;  // per lane; rows with more load the rest later

  int32_t ordinal;  // lane < fanout
  int32_t expert;   // lane < K: the choice
  float weight;     // lane < K
  uint32_t scales[kScaleWords];
  bool masks_us;  // lane < n: rank has masked this one
};

class RowRouter {
 public:
  __device__ RowRouter(const SendParams& params, const Destination* destinations, bool sent)
      : params_(params),
        destinations_(destinations),
        sent_(sent),
        pardoned_(params.view.state->pardoned_masks[lane_index()]) {}

  __device__ RouteInput load(int token) const {
    const int lane = lane_index();
    RouteInput input = {-1, -1, 0.0f, {0, 0}, false};
    if (token >= params_.num_tokens) {
      return input;
    }
    if (lane < params_.view.num_ranks) {
      const RankView& view = params_.view;
      input.masks_us =
          ptx::load_relaxed_system(view.own<uint64_t>(view.control.masked(lane))) != pardoned_;
    }
    const int64_t choice = int64_t{token} * params_.layout.form.num_topk + lane;
    if (lane < params_.fanout) {
      input.ordinal = params_.handle.rows[int64_t{token} * params_.fanout + lane];
    }
    if (!params_.layout.form.rank_major() && lane < params_.fanout) {
      input.expert = params_.handle.experts[int64_t{token} * params_.fanout + lane];
    } else if (params_.topk_idx != nullptr && lane < params_.layout.form.num_topk) {
      input.expert =
          params_.layout.form.index_bytes == 8
              ? static_cast<int32_t>(static_cast<const int64_t*>(params_.topk_idx)[choice])
              : static_cast<const int32_t*>(params_.topk_idx)[choice];
    }
    if (params_.topk_weights != nullptr && lane < params_.layout.form.num_topk) {
      input.weight = params_.topk_weights[choice];
    }
    for (int i = 0; params_.scales.words != nullptr && i < RouteInput::kScaleWords; i++) {
      int word = i * kWarpLanes + lane;
      if (word < params_.layout.form.scale_words) {
        input.scales[i] = scale(token, word);
      }
    }
    return input;
  }

  __device__ uint32_t scale(int token, int word) const {
    return params_.scales
        .words[token * params_.scales.stride_token + word * params_.scales.stride_word];
  }

  // The row of this lane, which is completed in the handle if the call counted.
  __device__ RowTarget route(int token, const RouteInput& input) {
    const int lane = lane_index();
    RowTarget target = {-1, lane};
    stopped_ |= __ballot_sync(kAllLanes, input.masks_us);
    if (lane >= params_.fanout) {
      return target;
    }
    const bool rank_major = params_.layout.form.rank_major();
    int32_t base = 0;
    bool goes = sent_;
    if (!rank_major) {
      goes = goes && input.expert >= 0;
      target.peer = goes ? input.expert / params_.view.local_experts : 0;
    }
    goes = goes && input.ordinal >= 0 && destinations_[target.peer].granted != 0 &&
           (stopped_ >> target.peer & 1) == 0;
    if (goes && params_.counted != 0) {
      base = rank_major ? destinations_[target.peer].base : params_.view.expert_base[input.expert];
    }
    target.row = goes ? base + input.ordinal : -1;
    if (params_.counted != 0) {
      params_.handle.rows[int64_t{token} * params_.fanout + lane] = target.row;
    }
    return target;
  }

  // Leaves word of the destinations that masked this rank. All lanes, after the last token.
  __device__ void finish() const {
    if (stopped_ != 0 && lane_index() == 0) {
      atomicOr(&params_.view.state->stopped, stopped_);
    }
  }

 private:
  const SendParams& params_;
  const Destination* destinations_;
  bool sent_;
  uint64_t pardoned_;
  uint32_t stopped_ = 0;
};

// Writes what is known about a token's rows beside them.
class RowMetadata {
 public:
  __device__ RowMetadata(const SendParams& params, const Destination* destinations)
      : params_(params), destinations_(destinations) {}

  __device__ void write(int token, const RowTarget& target, const RouteInput& input) const {
    if (!params_.layout.form.has_metadata()) {
      return;
    }
    if (params_.layout.form.rank_major()) {
      uint32_t ranks = __ballot_sync(kAllLanes, target.row >= 0);
      for_each_lane(ranks, [&](int rank) {
        write_choices(token, rank, __shfl_sync(kAllLanes, target.row, rank), input);
      });
    } else if (target.row >= 0) {
      const Destination& to = destinations_[target.peer];
      to.weight[target.row] = input.weight;
      to.source_rank[target.row] = params_.view.rank;
      to.topk_slot[target.row] = lane_index();
      to.source_token[target.row] = token;
    }
  }

  // Forwards the scales given to every row of the token.
  __device__ void write_scales(const RowRouter& router, int token, const RowTarget& target,
                               const RouteInput& input) const {
    const int words = params_.layout.form.scale_words;
    if (params_.scales.words == nullptr) {
      return;
    }
    uint32_t lanes = __ballot_sync(kAllLanes, target.row >= 0);
    for (int first = 0; first < words; first += kWarpLanes) {
      int word = first + lane_index();
      int index = first / kWarpLanes;
      uint32_t value = index == 0 ? input.scales[0] : input.scales[1];
      if (index >= RouteInput::kScaleWords && word < words) {
        value = router.scale(token, word);
      }
      put_scale(lanes, target, word, words, value);
    }
  }

  // Stores one word of scales in every row of the token; lanes with a word past the end only help.
  __device__ void put_scale(uint32_t lanes, const RowTarget& target, int word, int end,
                            uint32_t value) const {
    for_each_lane(lanes, [&](int lane) {
      int64_t row = __shfl_sync(kAllLanes, target.row, lane);
      int peer = __shfl_sync(kAllLanes, target.peer, lane);
      if (word < end) {
        uint32_t* scales = reinterpret_cast<uint32_t*>(destinations_[peer].scales);
        scales[row * params_.layout.form.scale_words + word] = value;
      }
    });
  }

 private:
  // Rank-major: local expert ids and weights of the choices on the rank, one lane each.
  __device__ void write_choices(int token, int rank, int64_t row, const RouteInput& input) const {
    const int lane = lane_index();
    const int num_topk = params_.layout.form.num_topk;
    const Destination& to = destinations_[rank];
    if (lane < num_topk) {
      int local = input.expert - rank * params_.view.local_experts;
      bool here = input.expert >= 0 && local >= 0 && local < params_.view.local_experts;
      local = here ? local : -1;
      int64_t place = row * num_topk + lane;
      if (params_.layout.form.index_bytes == 8) {
        reinterpret_cast<int64_t*>(to.topk_idx)[place] = local;
      } else {
        reinterpret_cast<int32_t*>(to.topk_idx)[place] = local;
      }
      to.topk_weights[place] = here ? input.weight : 0.0f;
    }
    if (lane == 0) {
      to.source_token[row] = token;
    }
  }

  const SendParams& params_;
  const Destination* destinations_;
};

}  // namespace ep4j
