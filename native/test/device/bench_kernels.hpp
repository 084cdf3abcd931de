// The kernel that the benchmark needs beside the library's.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace ep4j::test {

// y = value in every BF16 element.
cudaError_t launch_fill(uint16_t* y, int64_t count, uint16_t value, cudaStream_t stream);

}  // namespace ep4j::test
