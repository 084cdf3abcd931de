// The network by NVSHMEM's public device interface, so that every transport that NVSHMEM has will
// serve. The only device code that knows NVSHMEM.
//
// A source was written by other threads, or by this one a moment ago: a fence at system scope
// before the put shows it to whoever fetches it, the network adapter included.
#include <nvshmem.h>
#include <nvshmemx.h>

#include "device/transport/fabric.cuh"

namespace ep4j::transport {

__device__ void put_and_add(void* to, const void* from, int64_t bytes, uint64_t* word,
                            uint64_t amount, int peer) {
  ptx::fence_system();
  nvshmemx_putmem_signal_nbi_warp(to, from, static_cast<size_t>(bytes), word, amount,
                                  NVSHMEM_SIGNAL_ADD, peer);
}

__device__ void put_and_set(void* to, const void* from, int64_t bytes, uint64_t* word,
                            uint64_t value, int peer) {
  ptx::fence_system();
  nvshmem_putmem_signal_nbi(to, from, static_cast<size_t>(bytes), word, value, NVSHMEM_SIGNAL_SET,
                            peer);
}

__device__ void put_row_and_set(void* to, const void* from, int64_t bytes, uint64_t* word,
                                uint64_t value, int peer) {
  ptx::fence_system();
  nvshmemx_putmem_signal_nbi_warp(to, from, static_cast<size_t>(bytes), word, value,
                                  NVSHMEM_SIGNAL_SET, peer);
}

__device__ void set(uint64_t* word, uint64_t value, int peer) {
  ptx::fence_system();
  nvshmemx_signal_op(word, value, NVSHMEM_SIGNAL_SET, peer);
}

__device__ bool has_reached(uint64_t* word, uint64_t value) {
  // The test brings in what a network adapter has written; the load acquires it at system scope.
  return nvshmem_uint64_test(word, NVSHMEM_CMP_GE, value) != 0 &&
         ptx::load_acquire_system(word) >= value;
}

}  // namespace ep4j::transport
