// Stage output: y and its weights, copied into an output.
//
//   grid   as many blocks as the call gives multiprocessors; nobody waits for a peer
//
// A kernel and not cudaMemcpyAsync: copy engines have few queues. A copy of this rank that waits
// there behind its stream's await_readers would hold up copies of other ranks of the process, and
// with them what this rank waits for (seen as timeouts of device tests on an H100).
#include "kernels/normal/stage_output.hpp"

#include "device/load_kernels.cuh"
#include "kernels/normal/shapes.hpp"

namespace ep4j {
namespace {

constexpr int kThreads = 512;
constexpr int kVectors = 4;  // per thread in flight

__global__ void __launch_bounds__(kThreads)
    stage_output_kernel(const __grid_constant__ StageParams params) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  const int64_t first = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const int64_t count = params.bytes / kVectorBytes;
  const uint4* from = reinterpret_cast<const uint4*>(params.y);
  uint4* to = reinterpret_cast<uint4*>(params.output);
  for (int64_t i = first; i < count; i += kVectors * step) {
    uint4 vectors[kVectors];
#pragma unroll
    for (int v = 0; v < kVectors; v++) {
      if (i + v * step < count) {
        vectors[v] = from[i + v * step];
      }
    }
#pragma unroll
    for (int v = 0; v < kVectors; v++) {
      if (i + v * step < count) {
        to[i + v * step] = vectors[v];
      }
    }
  }
  for (int64_t i = first; i < params.num_weights; i += step) {
    params.output_weights[i] = params.weights[i];
  }
}

}  // namespace

cudaError_t load_stage_output() { return load_kernels(stage_output_kernel); }

cudaError_t launch_stage_output(const StageParams& params, int num_blocks, cudaStream_t stream) {
  stage_output_kernel<<<num_blocks, kThreads, 0, stream>>>(params);
  return cudaGetLastError();
}

}  // namespace ep4j
