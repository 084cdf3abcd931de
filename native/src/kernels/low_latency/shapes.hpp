// How low-latency kernels use one multiprocessor. Chosen by launch/low_latency_budget.hpp from
// sizes alone.
#pragma once

namespace ep4j {

// One block of this many threads fills a multiprocessor's registers, so that a grid of as many
// blocks as multiprocessors is resident at once whatever its shared memory.
constexpr int kLowLatencyThreads = 512;
constexpr int kLowLatencyWarps = 16;

// What a launch does; both in the fused form.
constexpr int kSendPhase = 1;
constexpr int kReceivePhase = 2;

struct LowLatencyShape {
  int table_bytes;  // counts of all experts
  int stage_bytes;  // one message
  int stages;       // messages in shared memory: two that are sent, or one per packing warp
  int shared_bytes;
};

}  // namespace ep4j
