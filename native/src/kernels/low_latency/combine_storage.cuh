// What the roles of low-latency combine share: one block's view of one call.
#pragma once

#include "device/numeric/log_fmt10.hpp"
#include "device/sync/call_agreement.cuh"
#include "device/sync/grid_decision.cuh"
#include "device/sync/grid_end.cuh"
#include "device/sync/quick_wait.cuh"
#include "kernels/low_latency/combine.hpp"

namespace ep4j {

// The rows of one token, in the order of the sum.
struct TokenTable {
  const char* rows[kMaxTopk];
  const uint32_t* ranges[kMaxTopk];  // LogFMT-10: of each group, amax | amin << 16
  float weights[kMaxTopk];
  int count;
};

struct CombineStorage {
  uint64_t epoch;
  uint64_t handle;       // epoch of the dispatch
  uint64_t last_output;  // epoch of the output's last publication; sending half
  uint32_t failed;       // this rank gave up in an earlier call
  int32_t verdict;       // of the dispatch
  uint32_t may_stage;
  int32_t received;  // ep4j_verdict of this call
  uint32_t arrived;  // ranks whose outputs are summed
  int32_t outputs[kMaxRanks];
  TokenTable tokens[2];
  double logarithms[kBf16Significands];
};

// A chunk that is not cast says so in the range's sign bit, which a magnitude has no use for.
constexpr uint32_t kRawChunk = 0x8000;

EP4J_HOST_DEVICE constexpr int log_fmt_chunk(int hidden) {
  return hidden % kLogFmtLargeChunk == 0 ? kLogFmtLargeChunk : kLogFmtSmallChunk;
}

}  // namespace ep4j
