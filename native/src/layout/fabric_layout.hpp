// What a network between nodes is asked to do, and the queue of the loopback fabric, which does it
// where all ranks are threads of one process.
#pragma once

#include "layout/limits.hpp"

namespace ep4j {

// Bytes to another rank's window, then a word there. Data comes before its own signal; nothing else
// is ordered, neither with other puts nor with loads and stores.
struct Put {
  int32_t peer;
  int32_t bytes;    // a multiple of 16; 0 for a signal alone
  int64_t source;   // in this rank's window, unchanged until the put is complete
  int64_t target;   // in the peer's window
  int64_t signal;   // in the peer's window
  uint64_t value;   // of the signal
};

// A put from the warp that asks for it to the one that does it. Both words hold tags of the launch
// and the put's number in it, so that nothing is zeroed.
struct PutSlot {
  uint64_t ready;
  uint64_t done;
  Put put;
};

struct FabricState {
  uint64_t launches;        // kernels that have used the fabric
  uint32_t queued;          // puts of the kernel that runs; back to 0 at its end
  uint32_t producers_done;  // warps that ask for no more; back to 0 at its end
};

// Puts that can be in the queue. Askers wait for a place; the workers never wait for askers.
constexpr uint32_t kFabricSlots = 4096;

}  // namespace ep4j
