#include "bench_kernels.hpp"

#include "device/ptx/bulk.cuh"
#include "device/ptx/memory.cuh"
#include "device/sync/warp.cuh"
#include "launch/budget.hpp"

namespace ep4j::test {
namespace {

__global__ void gate_kernel(const uint32_t* open) {
  while (ptx::load_relaxed_system(open) == 0) {
  }
}

__global__ void fill_kernel(uint16_t* y, int64_t count, uint16_t value) {
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) {
    y[i] = value;
  }
}

#if EP4J_HAS_BULK_COPY
__global__ void __launch_bounds__(512, 1)
    row_copy_kernel(const char* rows, char* out, const int32_t* order, int num_rows,
                    SendShape shape) {
  extern __shared__ __align__(128) char shared[];
  __shared__ uint64_t barriers[16 * kMaxStages];
  char* stages = shared + warp_index() * shape.stages * shape.stage_bytes;
  uint64_t* barrier = barriers + warp_index() * kMaxStages;
  if (lane_index() != 0) {
    return;
  }
  for (int stage = 0; stage < shape.stages; stage++) {
    ptx::barrier_init(&barrier[stage], 1);
  }
  ptx::fence_barrier_init();
  ptx::fence_proxy_shared();
  const int first = static_cast<int>(blockIdx.x) * shape.warps + warp_index();
  const int step = static_cast<int>(gridDim.x) * shape.warps;
  auto load = [&](int item) {
    const int row = first + item * step;
    if (row < num_rows) {
      const int stage = item % shape.stages;
      ptx::barrier_expect(&barrier[stage], shape.chunk_bytes);
      ptx::bulk_load(stages + stage * shape.stage_bytes,
                     rows + int64_t{order[row]} * shape.chunk_bytes, shape.chunk_bytes,
                     &barrier[stage]);
    }
  };
  for (int item = 0; item < shape.stages - 1; item++) {
    load(item);
  }
  for (int item = 0; first + item * step < num_rows; item++) {
    ptx::bulk_wait_sources_read();
    load(item + shape.stages - 1);
    const int stage = item % shape.stages;
    ptx::barrier_wait(&barrier[stage], item / shape.stages & 1);
    ptx::bulk_store(out + int64_t{first + item * step} * shape.chunk_bytes,
                    stages + stage * shape.stage_bytes, shape.chunk_bytes);
    ptx::bulk_commit();
  }
  ptx::bulk_wait_complete();
}
#endif

}  // namespace

cudaError_t launch_gate(const uint32_t* open, cudaStream_t stream) {
  gate_kernel<<<1, 1, 0, stream>>>(open);
  return cudaGetLastError();
}

cudaError_t launch_fill(uint16_t* y, int64_t count, uint16_t value, cudaStream_t stream) {
  fill_kernel<<<264, 512, 0, stream>>>(y, count, value);
  return cudaGetLastError();
}

cudaError_t launch_row_copy(const char* rows, char* out, const int32_t* order, int num_rows,
                            int row_bytes, int num_blocks, cudaStream_t stream) {
#if EP4J_HAS_BULK_COPY
  constexpr int kHopperShared = 232448;
  SendShape shape = bulk_send_shape(row_bytes, false, kHopperShared);
  cudaError_t error = cudaFuncSetAttribute(
      row_copy_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shape.shared_bytes);
  if (error != cudaSuccess) {
    return error;
  }
  row_copy_kernel<<<num_blocks, shape.warps * kWarpLanes, shape.shared_bytes, stream>>>(
      rows, out, order, num_rows, shape);
  return cudaGetLastError();
#else
  return cudaErrorNotSupported;
#endif
}

}  // namespace ep4j::test
