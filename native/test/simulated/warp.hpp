// Kernels on a host: what nvcc gives to device code, for a C++ compiler. Included before everything
// else in kernel sources, which translate.py has made C++ of.
//
// A thread of a block is a fiber; the fibers of a block take turns on one thread of the host, in an
// order drawn from a seed, and blocks run in parallel. A fiber gives up its turn where it waits: in
// barriers, warp operations, and every load that other threads may be waited for with. So kernels
// run as they are, and wait as they do on a device; memory is stronger than a device's.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <type_traits>

#include <cuda_runtime_api.h>

#undef __shared__
#undef __launch_bounds__
#undef __grid_constant__
#undef __noinline__
#define __shared__ static thread_local
#define __launch_bounds__(...)
#define __grid_constant__
#define __noinline__

namespace simulated {

struct Dim {
  unsigned x;
};

// Of the fiber that has its turn.
Dim thread_index();
Dim block_index();
Dim block_size();
Dim grid_size();
void* dynamic_shared();

void give_up_turn();
void block_barrier();

enum class WarpOperation { kSync, kShuffle, kBallot };

// Every lane's value of a warp operation that all its lanes reach. kind must be the same on all.
const uint64_t* exchange(WarpOperation kind, uint64_t value);
unsigned lane();
unsigned lanes();

struct Grid {
  unsigned blocks;
  unsigned threads;
  size_t shared_bytes;
  cudaStream_t stream;

  template <class Blocks, class Threads, class Bytes>
  Grid(Blocks blocks, Threads threads, Bytes bytes, cudaStream_t stream)
      : blocks(static_cast<unsigned>(blocks)),
        threads(static_cast<unsigned>(threads)),
        shared_bytes(static_cast<size_t>(bytes)),
        stream(stream) {}
};

void enqueue(const Grid& grid, std::function<void()> kernel);

template <class... Params, class... Given>
void launch(const Grid& grid, void (*kernel)(Params...), const Given&... given) {
  enqueue(grid, [=] { kernel(given...); });
}

template <class T>
uint64_t bits_of(T value) {
  uint64_t bits = 0;
  static_assert(sizeof value <= sizeof bits);
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}

template <class T>
T value_of(uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace simulated

#define threadIdx (simulated::thread_index())
#define blockIdx (simulated::block_index())
#define blockDim (simulated::block_size())
#define gridDim (simulated::grid_size())

inline void __syncthreads() { simulated::block_barrier(); }
inline void __syncwarp() { simulated::exchange(simulated::WarpOperation::kSync, 0); }

template <class T>
T __shfl_sync(uint32_t, T value, int from) {
  const uint64_t* all =
      simulated::exchange(simulated::WarpOperation::kShuffle, simulated::bits_of(value));
  return simulated::value_of<T>(all[static_cast<unsigned>(from) % 32]);
}
template <class T>
T __shfl_up_sync(uint32_t, T value, int distance) {
  const unsigned own = simulated::lane();
  const uint64_t* all =
      simulated::exchange(simulated::WarpOperation::kShuffle, simulated::bits_of(value));
  const unsigned far = static_cast<unsigned>(distance);
  return own < far ? value : simulated::value_of<T>(all[own - far]);
}
template <class T>
T __shfl_xor_sync(uint32_t, T value, int mask) {
  const unsigned own = simulated::lane();
  const uint64_t* all =
      simulated::exchange(simulated::WarpOperation::kShuffle, simulated::bits_of(value));
  return simulated::value_of<T>(all[own ^ static_cast<unsigned>(mask)]);
}
inline uint32_t __ballot_sync(uint32_t, bool holds) {
  const uint64_t* all =
      simulated::exchange(simulated::WarpOperation::kBallot, holds ? 1 : 0);
  uint32_t lanes = 0;
  for (unsigned i = 0; i < simulated::lanes(); i++) {
    lanes |= all[i] != 0 ? 1u << i : 0;
  }
  return lanes;
}
inline bool __any_sync(uint32_t mask, bool holds) { return __ballot_sync(mask, holds) != 0; }
inline bool __all_sync(uint32_t mask, bool holds) { return __ballot_sync(mask, !holds) == 0; }
template <class T>
uint32_t __match_any_sync(uint32_t, T value) {
  const uint64_t own = simulated::bits_of(value);
  const uint64_t* all = simulated::exchange(simulated::WarpOperation::kShuffle, own);
  uint32_t lanes = 0;
  for (unsigned i = 0; i < simulated::lanes(); i++) {
    lanes |= all[i] == own ? 1u << i : 0;
  }
  return lanes;
}
template <class T>
T __reduce_add_sync(uint32_t, T value) {
  const uint64_t* all =
      simulated::exchange(simulated::WarpOperation::kShuffle, simulated::bits_of(value));
  T sum = 0;
  for (unsigned i = 0; i < simulated::lanes(); i++) {
    sum += simulated::value_of<T>(all[i]);
  }
  return sum;
}
inline uint32_t __reduce_or_sync(uint32_t, uint32_t value) {
  const uint64_t* all = simulated::exchange(simulated::WarpOperation::kShuffle, value);
  uint32_t bits = 0;
  for (unsigned i = 0; i < simulated::lanes(); i++) {
    bits |= static_cast<uint32_t>(all[i]);
  }
  return bits;
}

inline int __popc(uint32_t bits) { return __builtin_popcount(bits); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline int __ffsll(long long bits) { return __builtin_ffsll(bits); }
inline uint32_t __funnelshift_r(uint32_t low, uint32_t high, uint32_t shift) {
  return static_cast<uint32_t>((static_cast<uint64_t>(high) << 32 | low) >> (shift % 32));
}
inline float __fmaf_rn(float a, float b, float c) { return std::fmaf(a, b, c); }
template <class T>
T __ldcg(const T* address) {
  return *address;
}

template <class T, class U>
T atomicAdd(T* address, U value) {
  simulated::give_up_turn();
  return __atomic_fetch_add(address, static_cast<T>(value), __ATOMIC_ACQ_REL);
}
template <class T, class U>
T atomicOr(T* address, U value) {
  return __atomic_fetch_or(address, static_cast<T>(value), __ATOMIC_ACQ_REL);
}
template <class T, class U>
T atomicExch(T* address, U value) {
  return __atomic_exchange_n(address, static_cast<T>(value), __ATOMIC_ACQ_REL);
}
template <class T, class U, class V>
T atomicCAS(T* address, U wanted, V value) {
  T found = static_cast<T>(wanted);
  __atomic_compare_exchange_n(address, &found, static_cast<T>(value), false, __ATOMIC_ACQ_REL,
                              __ATOMIC_ACQUIRE);
  return found;
}
template <class T, class U>
T atomicMin(T* address, U value) {
  T found = __atomic_load_n(address, __ATOMIC_ACQUIRE);
  while (static_cast<T>(value) < found &&
         !__atomic_compare_exchange_n(address, &found, static_cast<T>(value), false,
                                      __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
  }
  return found;
}

template <class A, class B>
std::common_type_t<A, B> min(A a, B b) {
  using T = std::common_type_t<A, B>;
  return static_cast<T>(a) < static_cast<T>(b) ? static_cast<T>(a) : static_cast<T>(b);
}
template <class A, class B>
std::common_type_t<A, B> max(A a, B b) {
  using T = std::common_type_t<A, B>;
  return static_cast<T>(a) < static_cast<T>(b) ? static_cast<T>(b) : static_cast<T>(a);
}
using std::fmaf;

template <class Kernel>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes*, Kernel*) {
  return cudaSuccess;
}
template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel*, cudaFuncAttribute, int) {
  return cudaSuccess;
}
template <class Kernel>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Kernel*, int, size_t) {
  *blocks = 1;
  return cudaSuccess;
}
