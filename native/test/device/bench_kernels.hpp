// Kernels that the benchmark needs beside the library's.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace ep4j::test {

// Holds a stream until the host sets *open, so that what is queued behind starts at one moment.
cudaError_t launch_gate(const uint32_t* open, cudaStream_t stream);

// The row-copy limit: row i of out is row order[i] of rows, by the bulk-copy engine.
cudaError_t launch_row_copy(const char* rows, char* out, const int32_t* order, int num_rows,
                            int row_bytes, int num_blocks, cudaStream_t stream);

// y = factor in every BF16 element.
cudaError_t launch_fill(uint16_t* y, int64_t count, uint16_t value, cudaStream_t stream);

}  // namespace ep4j::test
