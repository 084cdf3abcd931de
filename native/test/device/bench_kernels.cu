#include "bench_kernels.hpp"

namespace ep4j::test {
namespace {

__global__ void fill_kernel(uint16_t* y, int64_t count, uint16_t value) {
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) {
    y[i] = value;
  }
}

}  // namespace

cudaError_t launch_fill(uint16_t* y, int64_t count, uint16_t value, cudaStream_t stream) {
  fill_kernel<<<264, 512, 0, stream>>>(y, count, value);
  return cudaGetLastError();
}

}  // namespace ep4j::test
