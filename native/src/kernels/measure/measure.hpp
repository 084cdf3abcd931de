// Kernels that measure a machine, or let others be measured on it.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace ep4j {

// Holds a stream until the host sets *open, or until the deadline.
cudaError_t load_gate();
cudaError_t launch_gate(const uint32_t* open, uint64_t timeout_nanos, cudaStream_t stream);

// Row i of out is row order[i] of rows.
struct RowCopyParams {
  const char* rows;  // [num_rows, row_bytes]
  char* out;         // [num_rows, row_bytes]
  const int32_t* order;
  int32_t num_rows;
  int32_t row_bytes;
  int32_t warps;   // of a block
  int32_t stages;  // per warp; 0 on the load/store path
  int32_t chunk_bytes;
  int32_t stage_bytes;
  int32_t shared_bytes;
};
cudaError_t prepare_row_copy(int shared_limit, bool bulk);
cudaError_t launch_row_copy(const RowCopyParams& params, bool bulk, int num_blocks,
                            cudaStream_t stream);

}  // namespace ep4j
