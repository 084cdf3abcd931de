// Where a row goes, and how it gets there: read once, written to each of its places. A lane stands
// for one place.
#pragma once

#include "device/ptx/memory.cuh"
#include "device/sync/warp.cuh"
#include "kernels/internode/dispatch.hpp"

namespace ep4j {

// One lane's place.
struct RowPlace {
  char* x;
  uint32_t* scales;
};

// A received row that this rank writes itself, as one lane knows it. Rank-major: a lane per
// destination; expert-major: a lane per choice.
struct FinalRow {
  int32_t row;   // at the destination; -1 for none
  int32_t peer;  // the destination
};

// What is known about the row's token. Lane k: about choice k.
struct TokenFacts {
  int32_t source;
  int32_t token;
  int32_t expert;
  float weight;
};

// The side of a copy that the cache need not keep. Messages on their way need the room.
enum class Once { kSource, kTargets };

// Copies bytes to the places of some lanes. All lanes of a warp.
template <Once kOnce>
__device__ inline void spread(const char* source, int bytes, char* place, uint32_t lanes) {
  constexpr int kVectors = 7;  // per lane in flight; rows of 7,168 BF16 values need four rounds
  constexpr int kStep = kWarpLanes * kVectorBytes;
  const int own = lane_index() * kVectorBytes;
  for (int first = 0; first < bytes; first += kVectors * kStep) {
    uint4 vectors[kVectors];
#pragma unroll
    for (int i = 0; i < kVectors; i++) {
      const int at = first + i * kStep + own;
      if (at < bytes) {
        const auto* from = reinterpret_cast<const uint4*>(source + at);
        vectors[i] = kOnce == Once::kSource ? ptx::load_once(from) : *from;
      }
    }
    for_each_lane(lanes, [&](int lane) {
      char* to = reinterpret_cast<char*>(
          __shfl_sync(kAllLanes, reinterpret_cast<uint64_t>(place), lane));
#pragma unroll
      for (int i = 0; i < kVectors; i++) {
        const int at = first + i * kStep + own;
        if (at < bytes) {
          auto* target = reinterpret_cast<uint4*>(to + at);
          if constexpr (kOnce == Once::kTargets) {
            ptx::store_once(target, vectors[i]);
          } else {
            *target = vectors[i];
          }
        }
      }
    });
  }
}

// Stores a word of scales at the places of some lanes; lanes with a word past the end only help.
__device__ inline void spread_scale(uint32_t value, int word, int end, uint32_t* place,
                                    uint32_t lanes) {
  const uint64_t target = reinterpret_cast<uint64_t>(place);
  for_each_lane(lanes, [&](int lane) {
    uint32_t* to = reinterpret_cast<uint32_t*>(__shfl_sync(kAllLanes, target, lane));
    if (word < end) {
      to[word] = value;
    }
  });
}

// Copies a row's scales, word by word from load(word), two of a lane on their way at a time.
template <class Load>
__device__ inline void spread_scales(int words, uint32_t* place, uint32_t lanes, Load load) {
  for (int first = 0; first < words; first += 2 * kWarpLanes) {
    const int a = first + lane_index();
    const int b = a + kWarpLanes;
    const uint32_t word_a = a < words ? load(a) : 0;
    const uint32_t word_b = b < words ? load(b) : 0;
    spread_scale(word_a, a, words, place, lanes);
    spread_scale(word_b, b, words, place, lanes);
  }
}

__device__ inline RowPlace place_of(const RowForm& form, const Destination* destinations,
                                    const FinalRow& final) {
  if (final.row < 0) {
    return {nullptr, nullptr};
  }
  const Destination& to = destinations[final.peer];
  return {to.x + int64_t{final.row} * form.row_bytes,
          reinterpret_cast<uint32_t*>(to.scales) + int64_t{final.row} * form.scale_words};
}

// Writes what is known about a token beside its rows. All lanes of a warp; rows of the lanes given.
class RowFacts {
 public:
  __device__ RowFacts(const NodeDispatchParams& params, const Destination* destinations)
      : form_(params.layout.form),
        local_experts_(params.view.local_experts),
        destinations_(destinations) {}

  __device__ void write(const FinalRow& final, uint32_t lanes, const TokenFacts& facts) const {
    if (!form_.has_metadata()) {
      return;
    }
    if (form_.rank_major()) {
      for_each_lane(lanes, [&](int lane) {
        write_choices(__shfl_sync(kAllLanes, final.row, lane),
                      __shfl_sync(kAllLanes, final.peer, lane), facts);
      });
    } else if ((lanes >> lane_index() & 1) != 0) {
      const Destination& to = destinations_[final.peer];
      to.weight[final.row] = facts.weight;
      to.source_rank[final.row] = facts.source;
      to.topk_slot[final.row] = lane_index();
      to.source_token[final.row] = facts.token;
    }
  }

 private:
  // Local expert ids and weights of the choices on the rank, one lane each.
  __device__ void write_choices(int64_t row, int peer, const TokenFacts& facts) const {
    const int lane = lane_index();
    const Destination& to = destinations_[peer];
    if (lane < form_.num_topk) {
      int local = facts.expert - peer * local_experts_;
      const bool here = facts.expert >= 0 && local >= 0 && local < local_experts_;
      local = here ? local : -1;
      const int64_t place = row * form_.num_topk + lane;
      if (form_.index_bytes == 8) {
        reinterpret_cast<int64_t*>(to.topk_idx)[place] = local;
      } else {
        reinterpret_cast<int32_t*>(to.topk_idx)[place] = local;
      }
      to.topk_weights[place] = here ? facts.weight : 0.0f;
    }
    if (lane == 0) {
      to.source_token[row] = facts.token;
    }
  }

  const RowForm& form_;
  const int local_experts_;
  const Destination* destinations_;
};

}  // namespace ep4j
