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
//                next, if asked for  tokens that go anywhere
//   expert_plan  0 .. num_experts-1  ordinals and rows for one expert; all keep the routing
//   both         last                the rules of a routing
//
// Choices are read in the order of memory, 32 by a warp at once, because tokens of K choices read
// one by a thread would touch K lines of the cache per load: ballots tell each lane about the
// choices of its own token.
//
// The rules of a routing are checked by blocks of their own, which each leave the first bad choice
// they found; the call waits for the slowest block. A routing with a bad choice is refused before
// anybody looks at its ordinals. For a layout call, which nothing follows, the block that ends last
// tells the host.
#include "kernels/plan/routing_plan.hpp"

#include <algorithm>

#include "device/load_kernels.cuh"
#include "device/programmatic.cuh"
#include "device/ptx/memory.cuh"
#include "device/routing/first_refusal.cuh"
#include "device/sync/grid_end.cuh"
#include "device/sync/warp.cuh"

namespace ep4j {
namespace {

constexpr int kPlanThreads = 1024;
constexpr int kPlanWarps = kPlanThreads / kWarpLanes;
constexpr int kExpertsPerBlock = 8;
constexpr int kCheckBatch = 4;  // choices of a lane on their way at a time, for the rules
constexpr int kChunks = 2;  // of kPlanThreads tokens, whose choices are loaded at once

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

// The rule that this lane's choice breaks, if any. Lanes hold the choices of whole tokens, K each,
// in order; those without one hold -1. All lanes of a warp.
template <class Index>
__device__ int32_t broken_rule(const PlanParams& params, Index chosen) {
  const int num_topk = params.num_topk;
  const Index num_experts = params.num_ranks * params.local_experts;
  const bool in_range = chosen >= -1 && chosen < num_experts;
  const int32_t expert = in_range ? static_cast<int32_t>(chosen) : -1;
  const int place = lane_index() % num_topk;  // among the token's choices
  bool twice = false;
  for (int back = 1; back < num_topk; back++) {
    const int32_t earlier = __shfl_up_sync(kAllLanes, expert, back);
    twice = twice || (back <= place && expert >= 0 && earlier == expert);
  }
  return !in_range ? EP4J_ROUTING_OUT_OF_RANGE : (twice ? EP4J_ROUTING_TWICE : EP4J_ROUTING_GOOD);
}

// Checks one checker's share of the tokens: a lane per choice, whole tokens in a warp. All threads
// of the block.
template <class Index>
__device__ void check_choices(const PlanParams& params, SharedStorage& shared, int checker) {
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = lane_index();
  if (thread == 0) {
    shared.first_bad = BadChoice::kNone;
  }
  __syncthreads();
  const Index* choices = static_cast<const Index*>(params.topk_idx);
  const int per_warp = kWarpLanes / params.num_topk * params.num_topk;
  const int64_t total = int64_t{params.num_tokens} * params.num_topk;
  const int64_t step = int64_t{params.checkers} * kPlanWarps * per_warp;
  const int64_t begin = (int64_t{checker} * kPlanWarps + warp_index()) * per_warp;
  for (int64_t first = begin; first < total; first += kCheckBatch * step) {
    Index chosen[kCheckBatch];
#pragma unroll
    for (int i = 0; i < kCheckBatch; i++) {
      const int64_t place = first + i * step + lane;
      chosen[i] = lane < per_warp && place < total ? choices[place] : Index{-1};
    }
#pragma unroll
    for (int i = 0; i < kCheckBatch; i++) {
      const int32_t rule = broken_rule(params, chosen[i]);
      if (rule != EP4J_ROUTING_GOOD) {
        atomicMin(&shared.first_bad, static_cast<unsigned long long>(
                                         BadChoice::word(first + i * step + lane, rule)));
      }
    }
  }
  __syncthreads();
  if (thread == 0) {
    params.refusals[checker] = shared.first_bad;
  }
  // Checkers that do not exist have found nothing.
  if (checker == 0 && thread >= params.checkers && thread < kMaxRanks) {
    params.refusals[thread] = BadChoice::kNone;
  }
}

// Choices of a warp's 32 tokens in each of some chunks.
struct FoundChoices {
  uint32_t of_token[kChunks];  // this lane's token of each chunk: bit k for choice k
};

// Which choices are experts from begin to end. The chunks are first_token's and those after it. All
// threads of the block.
template <class Index>
__device__ FoundChoices find_choices(const PlanParams& params, int first_token, int begin,
                                     int end) {
  constexpr int kBatch = 8;  // loads in flight, for each chunk
  const Index* choices = static_cast<const Index*>(params.topk_idx);
  const int lane = lane_index();
  const int num_topk = params.num_topk;
  const int64_t first = int64_t{first_token + warp_index() * kWarpLanes} * num_topk + lane;
  const int64_t chunk = int64_t{kPlanThreads} * num_topk;
  const int64_t total = int64_t{params.num_tokens} * num_topk;
  uint32_t words[kChunks] = {};  // lane j: of choices 32 j to 32 j + 31
  for (int batch = 0; batch < num_topk; batch += kBatch) {
    Index chosen[kChunks][kBatch];
#pragma unroll
    for (int c = 0; c < kChunks; c++) {
#pragma unroll
      for (int i = 0; i < kBatch; i++) {
        const int64_t place = first + c * chunk + (batch + i) * kWarpLanes;
        chosen[c][i] = batch + i < num_topk && place < total ? choices[place] : Index{-1};
      }
    }
#pragma unroll
    for (int c = 0; c < kChunks; c++) {
#pragma unroll
      for (int i = 0; i < kBatch; i++) {
        uint32_t lanes = __ballot_sync(kAllLanes, chosen[c][i] >= begin && chosen[c][i] < end);
        words[c] = lane == batch + i ? lanes : words[c];
      }
    }
  }
  const int bit = lane * num_topk;
  const int low = bit / kWarpLanes;
  FoundChoices found;
#pragma unroll
  for (int c = 0; c < kChunks; c++) {
    uint32_t bits = __funnelshift_r(
        __shfl_sync(kAllLanes, words[c], low),
        __shfl_sync(kAllLanes, words[c], min(low + 1, kWarpLanes - 1)), bit % kWarpLanes);
    found.of_token[c] = bits & kAllLanes >> (kWarpLanes - num_topk);
  }
  return found;
}

// Scans all tokens for experts from begin to end: visit(token, choices, ordinal), the ordinal -1
// where no choice is one of them. Returns how many tokens have one. All threads of the block.
template <class Index, class Visit>
__device__ int scan_tokens(const PlanParams& params, SharedStorage& shared, int begin, int end,
                           Visit visit) {
  OrdinalScan scan(shared);
  for (int first = 0; first < params.num_tokens; first += kChunks * kPlanThreads) {
    const FoundChoices found = find_choices<Index>(params, first, begin, end);
#pragma unroll
    for (int c = 0; c < kChunks; c++) {
      const int token = first + c * kPlanThreads + static_cast<int>(threadIdx.x);
      const int ordinal = scan.next(found.of_token[c] != 0);
      if (token < params.num_tokens) {
        visit(token, found.of_token[c], ordinal);
      }
    }
  }
  return scan.count();
}

// Ordinals of the rows for one rank. All threads of the block.
template <class Index>
__device__ void scan_rank(const PlanParams& params, SharedStorage& shared, int rank) {
  const int first_expert = rank * params.local_experts;
  const int rows = scan_tokens<Index>(
      params, shared, first_expert, first_expert + params.local_experts,
      [&](int token, uint32_t, int ordinal) {
        const int64_t place = int64_t{token} * params.num_ranks + rank;
        if (params.rows != nullptr) {
          params.rows[place] = ordinal;
        }
        if (params.is_token_in_rank != nullptr) {
          params.is_token_in_rank[place] = ordinal >= 0 ? 1 : 0;
        }
      });
  if (threadIdx.x == 0) {
    params.tokens_per_rank[rank] = rows;
  }
}

// Choices of a few experts, counted in registers. All threads of the block.
template <class Index>
__device__ void count_experts(const PlanParams& params, SharedStorage& shared, int first_expert) {
  const Index* choices = static_cast<const Index*>(params.topk_idx);
  const int64_t total = int64_t{params.num_tokens} * params.num_topk;
  if (threadIdx.x < kExpertsPerBlock) {
    shared.expert_counts[threadIdx.x] = 0;
  }
  __syncthreads();
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
  const int tokens =
      scan_tokens<Index>(params, shared, 0, num_experts, [](int, uint32_t, int) {});
  if (threadIdx.x == 0) {
    *params.tokens_per_node = tokens;
  }
}

// Tells the host what all blocks found. All threads of the grid.
__device__ void report_refusal(const PlanParams& params) {
  if (params.report == nullptr || !is_last_block(params.state->blocks_done) || warp_index() != 0) {
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
  await_last_kernel();
  let_next_kernel_begin();
  const int block = static_cast<int>(blockIdx.x);
  const int first_checker = static_cast<int>(gridDim.x) - params.checkers;
  if (block < params.num_ranks) {
    scan_rank<Index>(params, shared, block);
  } else if (block >= first_checker) {
    check_choices<Index>(params, shared, block - first_checker);
  } else if (params.tokens_per_node != nullptr && block == first_checker - 1) {
    count_tokens<Index>(params, shared);
  } else {
    count_experts<Index>(params, shared, (block - params.num_ranks) * kExpertsPerBlock);
  }
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
  await_last_kernel();
  let_next_kernel_begin();
  const int expert = static_cast<int>(blockIdx.x);
  const int first_checker = static_cast<int>(gridDim.x) - params.checkers;
  keep_choices<Index>(params);
  if (expert >= first_checker) {
    check_choices<Index>(params, shared, expert - first_checker);
    return;
  }
  const int rows = scan_tokens<Index>(
      params, shared, expert, expert + 1, [&](int token, uint32_t hits, int ordinal) {
        if (hits != 0) {
          params.rows[int64_t{token} * params.num_topk + __ffs(static_cast<int>(hits)) - 1] =
              ordinal;
        }
      });
  if (threadIdx.x == 0) {
    params.tokens_per_expert[expert] = rows;
  }
}

// With as many blocks for the rules as have something to load at once.
PlanParams with_checkers(PlanParams params) {
  const int tokens_at_once =
      kCheckBatch * kPlanWarps * std::max(1, kWarpLanes / std::max(1, params.num_topk));
  const int checkers = static_cast<int>(ceil_div(params.num_tokens, tokens_at_once));
  params.checkers = params.refusals == nullptr ? 0 : std::clamp(checkers, 1, kMaxRanks);
  return params;
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

cudaError_t launch_rank_plan(const PlanParams& params, const Stream& stream) {
  const PlanParams plan = with_checkers(params);
  const int node_blocks = plan.tokens_per_node != nullptr ? 1 : 0;
  const int blocks = plan.num_ranks + expert_blocks(plan) + node_blocks + plan.checkers;
  auto kernel = plan.index_bytes == 8 ? rank_plan_kernel<int64_t> : rank_plan_kernel<int32_t>;
  return launch_behind(stream, {blocks, kPlanThreads}, kernel, plan);
}

cudaError_t launch_expert_plan(const PlanParams& params, const Stream& stream) {
  const PlanParams plan = with_checkers(params);
  const int blocks = plan.num_ranks * plan.local_experts + plan.checkers;
  auto kernel = plan.index_bytes == 8 ? expert_plan_kernel<int64_t> : expert_plan_kernel<int32_t>;
  return launch_behind(stream, {blocks, kPlanThreads}, kernel, plan);
}

}  // namespace ep4j
