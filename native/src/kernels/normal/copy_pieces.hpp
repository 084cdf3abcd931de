// Copies pieces of device memory: a caller's expert outputs to where peers read them, a result out
// of its region.
#pragma once

#include <cuda_runtime_api.h>

#include "layout/limits.hpp"

namespace ep4j {

constexpr int kMaxPieces = EP4J_MAX_COPIES;
static_assert(sizeof(ep4j_copy_call::from) == kMaxPieces * sizeof(void*));

// Bytes that move from one place to another, which do not overlap.
struct CopyPiece {
  const char* from;
  char* to;
  int64_t bytes;
};

struct CopyParams {
  CopyPiece pieces[kMaxPieces];
  int32_t count;

  // Leaves out what has no bytes.
  void add(const void* from, void* to, int64_t bytes) {
    if (bytes > 0) {
      pieces[count++] = {static_cast<const char*>(from), static_cast<char*>(to), bytes};
    }
  }
};

// Loads the kernel, so that no launch does.
cudaError_t load_copy_pieces();

// Launches nothing for no pieces.
cudaError_t launch_copy_pieces(const CopyParams& params, int num_blocks, cudaStream_t stream);

}  // namespace ep4j
