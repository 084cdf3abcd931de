// Moves a dispatch's rows to their final places, over a network where they are on another node.
#pragma once

#include <cuda_runtime_api.h>

#include "device/stream.hpp"
#include "layout/internode_state.hpp"
#include "layout/region_layout.hpp"
#include "layout/scale_source.hpp"

namespace ep4j {

struct NodeDispatchParams {
  InternodeView nodes;
  RankView view;          // the same as in nodes
  RegionLayout layout;    // of this rank's region, but for its rows; its form is every region's
  int64_t region_offset;  // in this rank's window
  const char* x;          // [num_tokens, source_row_bytes]
  ScaleSource scales;
  const void* topk_idx;       // [num_tokens, K]; null in a cached call
  const float* topk_weights;  // [num_tokens, K]; or null
  HandleView handle;
  NodeHandleView node_handle;
  int32_t num_tokens;
  int32_t fanout;            // entries of handle.rows per token: n, or K in expert-major order
  int32_t source_row_bytes;  // of x; twice the wire's with a cast
  int32_t cast;              // ep4j_cast
  int32_t counted;           // handle.rows holds ordinals and is to be completed
  int32_t bounded;
  int32_t alignment;
  int32_t zero_fill;
};

// Loads the kernels, so that no launch does.
cudaError_t load_node_dispatch();

cudaError_t launch_node_dispatch(const NodeDispatchParams& params, int num_blocks,
                                 const Stream& stream);

}  // namespace ep4j
