// A block of fibers: see warp.hpp.
#pragma once

#include <cstdint>
#include <functional>

namespace simulated {

// Runs one block on this thread of the host, to its end.
void run_block(unsigned block, unsigned blocks, unsigned threads, void* shared, uint64_t seed,
               const std::function<void()>& kernel);

}  // namespace simulated
