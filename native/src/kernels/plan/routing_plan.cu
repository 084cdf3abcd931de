// Plan: counts and ordinals of a routing.
//
// An ordinal is a row's place among the rows that this rank sends to one destination, in token
// order: an exclusive scan over "does this token go there". One block scans all tokens for one
// destination (a rank, or in expert-major order an expert), so no block waits for another and the
// order is deterministic. The routing is small (256 KiB for 4,096 x 8) and stays in L2.
//
//   kernel       block               does
//   rank_plan    0 .. n-1            ordinals and rows for one rank
//                n ..                choices of kExpertsPerBlock experts each
//                last, if asked for  tokens that go anywhere
//   expert_plan  0 .. num_experts-1  ordinals and rows for one expert; all keep the routing
//
// Choices are read in the order of memory, 32 by a warp at once, because tokens of K choices read
// one by a thread would touch K lines of the cache per load: ballots tell each lane about the
// choices of its own token.
//
// The rules of a routing are checked token by token: chunk c by block c modulo the number of
// checking blocks, which each leave the first bad choice they found. A routing with one is refused
// before anybody looks at its ordinals. For a layout call, which nothing follows, the last block
// tells the host.
#include "kernels/plan/routing_plan.hpp"

#include "device/load_kernels.cuh"
#include "device/ptx/memory.cuh"
#include "device/routing/first_refusal.cuh"
#include "device/sync/grid_end.cuh"
#include "device/sync/warp.cuh"

namespace ep4j {
namespace {

constexpr int kPlanThreads = 1024;
constexpr int kPlanWarps = kPlanThreads / kWarpLanes;
constexpr int kExpertsPerBlock = 8;

struct SharedStorage {
  int warp_hits[2][kPlanWarps];
  int expert_counts[kExpertsPerBlock];
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

// The first rule that a token's choices break, as a BadChoice word.
template <class Index>
__device__ uint64_t find_bad_choice(const PlanParams& params, int token) {
  const int64_t first = int64_t{token} * params.num_topk;
  const Index* choices = static_cast<const Index*>(params.topk_idx) + first;
  const Index num_experts = params.num_ranks * params.local_experts;
  for (int k = 0; k < params.num_topk; k++) {
    const Index expert = choices[k];
    if (expert < -1 || expert >= num_experts) {
      return BadChoice::word(first + k, EP4J_ROUTING_OUT_OF_RANGE);
    }
    for (int earlier = 0; expert >= 0 && earlier < k; earlier++) {
      if (choices[earlier] == expert) {
        return BadChoice::word(first + k, EP4J_ROUTING_TWICE);
      }
    }
  }
  return BadChoice::kNone;
}

// Checks this block's share of the chunks. All threads of the block.
template <class Index>
__device__ void check_choices(const PlanParams& params, SharedStorage& shared) {
  const int checkers = min(static_cast<int>(gridDim.x), kMaxRanks);
  const int block = static_cast<int>(blockIdx.x);
  if (params.refusals == nullptr || block >= checkers) {
    return;
  }
  const int thread = static_cast<int>(threadIdx.x);
  // From the last block down: the first ones have the ordinals to do.
  for (int token = (checkers - 1 - block) * kPlanThreads + thread; token < params.num_tokens;
       token += checkers * kPlanThreads) {
    uint64_t bad = find_bad_choice<Index>(params, token);
    if (bad != BadChoice::kNone) {
      atomicMin(&shared.first_bad, static_cast<unsigned long long>(bad));
    }
  }
}

__device__ void begin_check(SharedStorage& shared) {
  if (threadIdx.x == 0) {
    shared.first_bad = BadChoice::kNone;
  }
  if (threadIdx.x < kExpertsPerBlock) {
    shared.expert_counts[threadIdx.x] = 0;
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

// Which choices of this lane's token are experts from begin to end, bit k for choice k. The warp's
// tokens are first_token and the 31 after it. All lanes.
template <class Index>
__device__ uint32_t find_choices(const PlanParams& params, int first_token, int begin, int end) {
  constexpr int kBatch = 8;  // loads in flight
  const Index* choices = static_cast<const Index*>(params.topk_idx);
  const int lane = lane_index();
  const int num_topk = params.num_topk;
  const int64_t first = int64_t{first_token} * num_topk + lane;
  const int64_t total = int64_t{params.num_tokens} * num_topk;
  uint32_t word = 0;  // lane j: of choices 32 j to 32 j + 31
  for (int batch = 0; batch < num_topk; batch += kBatch) {
    Index chosen[kBatch];
#pragma unroll
    for (int i = 0; i < kBatch; i++) {
      const int64_t place = first + (batch + i) * kWarpLanes;
      chosen[i] = batch + i < num_topk && place < total ? choices[place] : Index{-1};
    }
#pragma unroll
    for (int i = 0; i < kBatch; i++) {
      uint32_t lanes = __ballot_sync(kAllLanes, chosen[i] >= begin && chosen[i] < end);
      word = lane == batch + i ? lanes : word;
    }
  }
  const int bit = lane * num_topk;
  const int low = bit / kWarpLanes;
  uint32_t bits =
      __funnelshift_r(__shfl_sync(kAllLanes, word, low),
                      __shfl_sync(kAllLanes, word, min(low + 1, kWarpLanes - 1)), bit % kWarpLanes);
  return bits & kAllLanes >> (kWarpLanes - num_topk);
}

__device__ int warp_token(int first) { return first + warp_index() * kWarpLanes; }

// Ordinals of the rows for one rank. All threads of the block.
template <class Index>
__device__ void scan_rank(const PlanParams& params, SharedStorage& shared, int rank) {
  const int first_expert = rank * params.local_experts;
  OrdinalScan scan(shared);
  for (int first = 0; first < params.num_tokens; first += kPlanThreads) {
    const int token = first + static_cast<int>(threadIdx.x);
    const bool hit = find_choices<Index>(params, warp_token(first), first_expert,
                                         first_expert + params.local_experts) != 0;
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
  }
  if (threadIdx.x == 0) {
    params.tokens_per_rank[rank] = scan.count();
  }
}

// Choices of a few experts, counted in registers. All threads of the block.
template <class Index>
__device__ void count_experts(const PlanParams& params, SharedStorage& shared, int first_expert) {
  const Index* choices = static_cast<const Index*>(params.topk_idx);
  const int64_t total = int64_t{params.num_tokens} * params.num_topk;
  int counts[kExpertsPerBlock] = {};
#pragma unroll 8
  for (int64_t i = threadIdx.x; i < total; i += kPlanThreads) {
    const Index chosen = choices[i];
#pragma unroll
    for (int e = 0; e < kExpertsPerBlock; e++) {
      counts[e] += chosen == first_expert + e ? 1 : 0;
    }
  }
#pragma unroll
  for (int e = 0; e < kExpertsPerBlock; e++) {
    int sum = __reduce_add_sync(kAllLanes, counts[e]);
    if (lane_index() == 0) {
      atomicAdd(&shared.expert_counts[e], sum);
    }
  }
  __syncthreads();
  const int expert = first_expert + static_cast<int>(threadIdx.x);
  if (threadIdx.x < kExpertsPerBlock && expert < params.num_ranks * params.local_experts) {
    params.tokens_per_expert[expert] = shared.expert_counts[threadIdx.x];
  }
}

// Tokens that go anywhere. All threads of the block.
template <class Index>
__device__ void count_tokens(const PlanParams& params, SharedStorage& shared) {
  const int num_experts = params.num_ranks * params.local_experts;
  OrdinalScan scan(shared);
  for (int first = 0; first < params.num_tokens; first += kPlanThreads) {
    scan.next(find_choices<Index>(params, warp_token(first), 0, num_experts) != 0);
  }
  if (threadIdx.x == 0) {
    *params.tokens_per_node = scan.count();
  }
}

// Tells the host what all blocks found. All threads of the grid.
__device__ void report_refusal(const PlanParams& params) {
  if (params.report == nullptr || !is_last_block(*params.state) || warp_index() != 0) {
    return;
  }
  Refusal refusal =
      first_refusal(params.refusals, params.topk_idx, params.index_bytes, params.num_topk);
  if (lane_index() == 0) {
    params.report->refusal = refusal;
    ptx::store_release_system(&params.report->ticket, params.ticket);
  }
}

template <class Index>
__global__ void __launch_bounds__(kPlanThreads)
    rank_plan_kernel(const __grid_constant__ PlanParams params) {
  __shared__ SharedStorage shared;
  const int block = static_cast<int>(blockIdx.x);
  begin_check(shared);
  check_choices<Index>(params, shared);
  if (block < params.num_ranks) {
    scan_rank<Index>(params, shared, block);
  } else if (params.tokens_per_node != nullptr && block == static_cast<int>(gridDim.x) - 1) {
    count_tokens<Index>(params, shared);
  } else {
    count_experts<Index>(params, shared, (block - params.num_ranks) * kExpertsPerBlock);
  }
  end_check(params, shared);
  report_refusal(params);
}

// The routing as combine and cached dispatch need it. All threads of the grid.
template <class Index>
__device__ void keep_choices(const PlanParams& params) {
  const int num_experts = params.num_ranks * params.local_experts;
  const int64_t total = int64_t{params.num_tokens} * params.num_topk;
  const int64_t step = int64_t{gridDim.x} * kPlanThreads;
  for (int64_t i = int64_t{blockIdx.x} * kPlanThreads + threadIdx.x; i < total; i += step) {
    const Index chosen = static_cast<const Index*>(params.topk_idx)[i];
    const bool is_expert = chosen >= 0 && chosen < num_experts;
    params.experts[i] = is_expert ? static_cast<int32_t>(chosen) : -1;
    if (params.topk_weights != nullptr) {
      params.weights[i] = params.topk_weights[i];
    }
  }
}

template <class Index>
__global__ void __launch_bounds__(kPlanThreads)
    expert_plan_kernel(const __grid_constant__ PlanParams params) {
  __shared__ SharedStorage shared;
  const int expert = static_cast<int>(blockIdx.x);
  begin_check(shared);
  check_choices<Index>(params, shared);
  OrdinalScan scan(shared);
  for (int first = 0; first < params.num_tokens; first += kPlanThreads) {
    const int token = first + static_cast<int>(threadIdx.x);
    const uint32_t hits = find_choices<Index>(params, warp_token(first), expert, expert + 1);
    int ordinal = scan.next(hits != 0);
    if (hits != 0) {
      params.rows[int64_t{token} * params.num_topk + __ffs(static_cast<int>(hits)) - 1] = ordinal;
    }
  }
  end_check(params, shared);
  keep_choices<Index>(params);
  if (threadIdx.x == 0) {
    params.tokens_per_expert[expert] = scan.count();
  }
}

int expert_blocks(const PlanParams& params) {
  const int64_t experts = int64_t{params.num_ranks} * params.local_experts;
  return static_cast<int>(ceil_div(experts, kExpertsPerBlock));
}

}  // namespace

cudaError_t load_routing_plan() {
  return load_kernels(rank_plan_kernel<int64_t>, rank_plan_kernel<int32_t>,
                      expert_plan_kernel<int64_t>, expert_plan_kernel<int32_t>);
}

cudaError_t launch_rank_plan(const PlanParams& params, cudaStream_t stream) {
  const int node_blocks = params.tokens_per_node != nullptr ? 1 : 0;
  const int blocks = params.num_ranks + expert_blocks(params) + node_blocks;
  auto kernel = params.index_bytes == 8 ? rank_plan_kernel<int64_t> : rank_plan_kernel<int32_t>;
  kernel<<<blocks, kPlanThreads, 0, stream>>>(params);
  return cudaGetLastError();
}

cudaError_t launch_expert_plan(const PlanParams& params, cudaStream_t stream) {
  const int blocks = params.num_ranks * params.local_experts;
  auto kernel = params.index_bytes == 8 ? expert_plan_kernel<int64_t> : expert_plan_kernel<int32_t>;
  kernel<<<blocks, kPlanThreads, 0, stream>>>(params);
  return cudaGetLastError();
}

}  // namespace ep4j
