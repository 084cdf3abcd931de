// Counts that only grow and that nobody reads in a hurry.
#pragma once

#include <cstdint>

namespace ep4j {

// Adds without waiting for the sum. Any threads may add to one word.
__device__ inline void add_word(uint64_t& word, uint64_t more) {
  atomicAdd(reinterpret_cast<unsigned long long*>(&word), static_cast<unsigned long long>(more));
}

}  // namespace ep4j
