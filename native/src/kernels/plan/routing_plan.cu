// Plan: counts and ordinals of a routing.
//
// An ordinal is a row's place among the rows that this rank sends to one destination, in token
// order: an exclusive scan over "does this token go there". One block scans all tokens for one
// destination (a rank, or in expert-major order an expert), so no block waits for another and the
// order is deterministic. The routing is small (256 KiB for 4,096 x 8) and stays in L2.
//
//   grid   n blocks (rank-major) or num_experts blocks (expert-major)
//   block  every thread takes one token of each chunk of 1,024
//
// The rules of a routing are checked on the way: chunk c by block c modulo the number of checking
// blocks, which each leave the first bad choice they found. A routing with one is refused before
// anybody looks at its ordinals.
#include "kernels/plan/routing_plan.hpp"

#include "device/load_kernels.cuh"
#include "device/sync/warp.cuh"

namespace ep4j {
namespace {

constexpr int kPlanThreads = 1024;
constexpr int kPlanWarps = kPlanThreads / kWarpLanes;

struct SharedStorage {
  int warp_hits[2][kPlanWarps];
  unsigned long long first_bad;
};

// Ordinals of the threads that hit, chunk after chunk. All threads of the block call next.
class OrdinalScan {
 public:
  __device__ explicit OrdinalScan(SharedStorage& shared) : shared_(shared) {}

  // This thread's ordinal, or -1 if it does not hit.
  __device__ int next(bool hit) {
    const int lane = lane_index();
    const int warp = warp_index();
    int* hits = shared_.warp_hits[turn_];
    turn_ ^= 1;  // a slow warp may still read the other one
    uint32_t lanes = __ballot_sync(kAllLanes, hit);
    if (lane == 0) {
      hits[warp] = __popc(lanes);
    }
    __syncthreads();
    int own = hits[lane];
    int sums = warp_inclusive_sum(own);
    int before = __shfl_sync(kAllLanes, sums - own, warp);
    int ordinal = count_ + before + __popc(lanes & ((1u << lane) - 1));
    count_ += __shfl_sync(kAllLanes, sums, kWarpLanes - 1);
    return hit ? ordinal : -1;
  }

  // Hits so far.
  __device__ int count() const { return count_; }

 private:
  SharedStorage& shared_;
  int count_ = 0;
  int turn_ = 0;
};
static_assert(kPlanWarps == kWarpLanes, "one lane reads one warp's hits");

// A token's choices in registers, loaded all at once; -1 past the last one.
template <class Index, int kChoices>
struct TokenChoices {
  static constexpr int kCount = kChoices;
  static constexpr int32_t kOutOfRange = -2;

  int32_t expert[kChoices];

  __device__ TokenChoices(const PlanParams& params, int token) {
    const Index* choices = static_cast<const Index*>(params.topk_idx);
    const int64_t first = int64_t{token} * params.num_topk;
    const int num_experts = params.num_ranks * params.local_experts;
#pragma unroll
    for (int k = 0; k < kChoices; k++) {
      expert[k] = -1;
      if (token < params.num_tokens && k < params.num_topk) {
        Index chosen = choices[first + k];
        bool in_range = chosen >= -1 && chosen < num_experts;
        expert[k] = in_range ? static_cast<int32_t>(chosen) : kOutOfRange;
      }
    }
  }

  // The first rule that the choices break, as a BadChoice word.
  __device__ uint64_t find_bad(const PlanParams& params, int token) const {
    uint64_t bad = BadChoice::kNone;
#pragma unroll
    for (int k = kChoices - 1; k >= 0; k--) {
      bool twice = false;
#pragma unroll
      for (int earlier = 0; earlier < k; earlier++) {
        twice = twice || (expert[k] >= 0 && expert[earlier] == expert[k]);
      }
      if (expert[k] == kOutOfRange || twice) {
        bad = BadChoice::word(int64_t{token} * params.num_topk + k,
                              twice ? EP4J_ROUTING_TWICE : EP4J_ROUTING_OUT_OF_RANGE);
      }
    }
    return bad;
  }
};

// Checks this block's share of the chunks.
template <class Choices>
__device__ void check_choices(const PlanParams& params, SharedStorage& shared,
                              const Choices& choices, int first) {
  const int token = first + static_cast<int>(threadIdx.x);
  const int checkers = min(static_cast<int>(gridDim.x), kMaxRanks);
  bool own_chunk = first / kPlanThreads % checkers == static_cast<int>(blockIdx.x);
  if (params.refusals != nullptr && own_chunk) {
    uint64_t bad = choices.find_bad(params, token);
    if (bad != BadChoice::kNone) {
      atomicMin(&shared.first_bad, static_cast<unsigned long long>(bad));
    }
  }
}

__device__ void begin_check(SharedStorage& shared) {
  if (threadIdx.x == 0) {
    shared.first_bad = BadChoice::kNone;
  }
  __syncthreads();
}

// Leaves what was found; blocks that do not exist have found nothing.
__device__ void end_check(const PlanParams& params, const SharedStorage& shared) {
  __syncthreads();
  if (params.refusals == nullptr) {
    return;
  }
  if (threadIdx.x == 0 && blockIdx.x < kMaxRanks) {
    params.refusals[blockIdx.x] = shared.first_bad;
  }
  if (blockIdx.x == 0 && threadIdx.x >= gridDim.x && threadIdx.x < kMaxRanks) {
    params.refusals[threadIdx.x] = BadChoice::kNone;
  }
}

template <class Index, int kChoices>
__global__ void __launch_bounds__(kPlanThreads)
    rank_plan_kernel(const __grid_constant__ PlanParams params) {
  __shared__ SharedStorage shared;
  extern __shared__ int per_expert[];  // [local_experts]
  const int rank = static_cast<int>(blockIdx.x);
  const int first_expert = rank * params.local_experts;
  for (int i = threadIdx.x; i < params.local_experts; i += kPlanThreads) {
    per_expert[i] = 0;
  }
  begin_check(shared);
  OrdinalScan scan(shared);
  for (int first = 0; first < params.num_tokens; first += kPlanThreads) {
    const int token = first + static_cast<int>(threadIdx.x);
    const TokenChoices<Index, kChoices> choices(params, token);
    bool hit = false;
#pragma unroll
    for (int k = 0; k < kChoices; k++) {
      int local = choices.expert[k] - first_expert;
      if (choices.expert[k] >= 0 && local >= 0 && local < params.local_experts) {
        hit = true;
        atomicAdd(&per_expert[local], 1);
      }
    }
    int ordinal = scan.next(hit);
    if (token < params.num_tokens) {
      int64_t place = int64_t{token} * params.num_ranks + rank;
      if (params.rows != nullptr) {
        params.rows[place] = ordinal;
      }
      if (params.is_token_in_rank != nullptr) {
        params.is_token_in_rank[place] = hit ? 1 : 0;
      }
    }
    check_choices(params, shared, choices, first);
  }
  end_check(params, shared);
  for (int i = threadIdx.x; i < params.local_experts; i += kPlanThreads) {
    params.tokens_per_expert[first_expert + i] = per_expert[i];
  }
  if (threadIdx.x == 0) {
    params.tokens_per_rank[rank] = scan.count();
  }
}

// The routing as combine and cached dispatch need it. Block 0.
template <class Choices>
__device__ void keep_choices(const PlanParams& params, const Choices& choices, int token) {
  for (int k = 0; token < params.num_tokens && k < params.num_topk; k++) {
    const int64_t choice = int64_t{token} * params.num_topk + k;
    if (params.topk_weights != nullptr) {
      params.weights[choice] = params.topk_weights[choice];
    }
  }
#pragma unroll
  for (int k = 0; k < Choices::kCount; k++) {
    if (token < params.num_tokens && k < params.num_topk) {
      params.experts[int64_t{token} * params.num_topk + k] = max(choices.expert[k], -1);
    }
  }
}

template <class Index, int kChoices>
__global__ void __launch_bounds__(kPlanThreads)
    expert_plan_kernel(const __grid_constant__ PlanParams params) {
  __shared__ SharedStorage shared;
  const int expert = static_cast<int>(blockIdx.x);
  begin_check(shared);
  OrdinalScan scan(shared);
  for (int first = 0; first < params.num_tokens; first += kPlanThreads) {
    const int token = first + static_cast<int>(threadIdx.x);
    const TokenChoices<Index, kChoices> choices(params, token);
    int hit = -1;
#pragma unroll
    for (int k = 0; k < kChoices; k++) {
      hit = choices.expert[k] == expert ? k : hit;
    }
    int ordinal = scan.next(hit >= 0);
    if (hit >= 0) {
      params.rows[int64_t{token} * params.num_topk + hit] = ordinal;
    }
    if (blockIdx.x == 0) {
      keep_choices(params, choices, token);
    }
    check_choices(params, shared, choices, first);
  }
  end_check(params, shared);
  if (threadIdx.x == 0) {
    params.tokens_per_expert[expert] = scan.count();
  }
}

using Kernel = void (*)(PlanParams);

// The instance whose registers hold K choices.
template <class Index>
Kernel kernel_for(bool rank_major, int num_topk) {
  if (num_topk <= 8) {
    return rank_major ? rank_plan_kernel<Index, 8> : expert_plan_kernel<Index, 8>;
  }
  if (num_topk <= 16) {
    return rank_major ? rank_plan_kernel<Index, 16> : expert_plan_kernel<Index, 16>;
  }
  return rank_major ? rank_plan_kernel<Index, kMaxTopk> : expert_plan_kernel<Index, kMaxTopk>;
}

Kernel kernel_for(bool rank_major, const PlanParams& params) {
  return params.index_bytes == 8 ? kernel_for<int64_t>(rank_major, params.num_topk)
                                 : kernel_for<int32_t>(rank_major, params.num_topk);
}

}  // namespace

cudaError_t load_routing_plan() {
  for (bool rank_major : {true, false}) {
    for (int num_topk : {8, 16, kMaxTopk}) {
      cudaError_t error = load_kernels(kernel_for<int64_t>(rank_major, num_topk),
                                       kernel_for<int32_t>(rank_major, num_topk));
      if (error != cudaSuccess) {
        return error;
      }
    }
  }
  return cudaSuccess;
}

cudaError_t launch_rank_plan(const PlanParams& params, cudaStream_t stream) {
  const size_t shared_bytes = sizeof(int) * static_cast<size_t>(params.local_experts);
  kernel_for(true, params)<<<params.num_ranks, kPlanThreads, shared_bytes, stream>>>(params);
  return cudaGetLastError();
}

cudaError_t launch_expert_plan(const PlanParams& params, cudaStream_t stream) {
  const int blocks = params.num_ranks * params.local_experts;
  kernel_for(false, params)<<<blocks, kPlanThreads, 0, stream>>>(params);
  return cudaGetLastError();
}

}  // namespace ep4j
