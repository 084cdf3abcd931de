// Moves a dispatch's rows to their final places.
#pragma once

#include <cuda_runtime_api.h>

#include "device/stream.hpp"
#include "kernels/normal/shapes.hpp"
#include "layout/handle_layout.hpp"
#include "layout/rank_view.hpp"
#include "layout/region_layout.hpp"
#include "layout/scale_source.hpp"

namespace ep4j {

struct SendParams {
  RankView view;
  RegionLayout layout;    // of this rank's region, but for its rows; its form is every region's
  int64_t region_offset;  // in this rank's window
  const char* x;          // [num_tokens, source_row_bytes]
  ScaleSource scales;
  const void* topk_idx;       // [num_tokens, K]; null in a cached call
  const float* topk_weights;  // [num_tokens, K]; or null
  HandleView handle;
  int32_t num_tokens;
  int32_t fanout;            // entries of handle.rows per token: n, or K in expert-major order
  int32_t source_row_bytes;  // of x; twice the wire's with a cast
  int32_t cast;              // ep4j_cast
  int32_t counted;           // handle.rows holds ordinals and is to be completed
  int32_t bounded;
  int32_t alignment;
  int32_t zero_fill;
  SendShape shape;
};

// Sets the kernels' limits; once per process and device.
cudaError_t prepare_dispatch_send(int shared_limit, bool bulk);

cudaError_t launch_dispatch_send(const SendParams& params, bool bulk, int num_blocks,
                                 const Stream& stream);

}  // namespace ep4j
