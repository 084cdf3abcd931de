// Whether this rank's expert outputs have been read, so that their memory may be written again.
#pragma once

#include "device/sync/peer_wait.cuh"

namespace ep4j {

// Whether a peer has read all that this rank has published in some of its outputs. One lane.
__device__ inline Look look_at_reader(const RankView& view, uint32_t outputs, int peer,
                                      uint64_t& seen) {
  for (; outputs != 0; outputs &= outputs - 1) {
    const int output = __ffs(static_cast<int>(outputs)) - 1;
    seen = ptx::load_acquire_system(view.own<uint64_t>(view.control.read(output, peer)));
    if (seen < view.state->output_epochs[output]) {
      return Look::kNotYet;
    }
  }
  return Look::kThere;
}

}  // namespace ep4j
