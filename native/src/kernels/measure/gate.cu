// Gate: one thread that waits for the host, so that work queued behind it on several streams starts at
// one moment.
#include "device/load_kernels.cuh"
#include "device/ptx/memory.cuh"
#include "kernels/measure/measure.hpp"

namespace ep4j {
namespace {

__global__ void gate_kernel(const uint32_t* open, uint64_t timeout_nanos) {
  const uint64_t begin = ptx::global_nanos();
  while (ptx::load_relaxed_system(open) == 0 && ptx::global_nanos() - begin < timeout_nanos) {
  }
}

}  // namespace

cudaError_t load_gate() { return load_kernels(gate_kernel); }

cudaError_t launch_gate(const uint32_t* open, uint64_t timeout_nanos, cudaStream_t stream) {
  gate_kernel<<<1, 1, 0, stream>>>(open, timeout_nanos);
  return cudaGetLastError();
}

}  // namespace ep4j
