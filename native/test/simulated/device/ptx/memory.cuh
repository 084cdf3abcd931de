// Loads, stores and fences of a host. Those that others can be waited for with give up the turn.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstring>

#include "warp.hpp"

namespace ep4j::ptx {

template <class T>
T load(const T* address) {
  simulated::give_up_turn();
  return __atomic_load_n(address, __ATOMIC_ACQUIRE);
}

inline uint64_t load_acquire_system(const uint64_t* address) { return load(address); }
inline uint64_t load_relaxed_system(const uint64_t* address) { return load(address); }
inline uint32_t load_relaxed_system(const uint32_t* address) { return load(address); }
inline uint64_t load_acquire_device(const uint64_t* address) { return load(address); }
template <class T>
void store_release_system(T* address, T value) {
  simulated::give_up_turn();
  __atomic_store_n(address, value, __ATOMIC_RELEASE);
}
inline void store_release_system(uint32_t* address, int value) {
  store_release_system(address, static_cast<uint32_t>(value));
}
inline void store_relaxed_system(uint32_t* address, uint32_t value) {
  __atomic_store_n(address, value, __ATOMIC_RELEASE);
}
inline void store_relaxed_system(uint64_t* address, uint64_t value) {
  store_release_system(address, value);
}
inline void store_release_device(uint64_t* address, uint64_t value) {
  store_release_system(address, value);
}
inline uint32_t add_acq_rel_device(uint32_t* address, uint32_t value) {
  simulated::give_up_turn();
  return __atomic_fetch_add(address, value, __ATOMIC_ACQ_REL);
}
// Whoever reads the line before it is written again reads this.
inline void discard_line(void* line) { std::memset(line, 0xDB, 128); }
inline uint4 load_once(const uint4* address) { return *address; }
inline void store_once(uint4* address, const uint4& value) { *address = value; }
inline void fence_system() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

// Slower than the host's: kernels are, too, and have the same deadlines.
inline uint64_t global_nanos() {
  constexpr uint64_t kSlower = 5;
  simulated::give_up_turn();
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count()) /
         kSlower;
}

}  // namespace ep4j::ptx
