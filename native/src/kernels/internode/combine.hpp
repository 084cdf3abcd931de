// Sums rows inside their node, sends one row per node and token back, and sums these.
#pragma once

#include <cuda_runtime_api.h>

#include "device/stream.hpp"
#include "layout/internode_state.hpp"

namespace ep4j {

// The sending half: this node's part of the tokens of other nodes.
struct NodeReduceParams {
  InternodeView nodes;
  RankView view;  // the same as in nodes
  NodeHandleView node_handle;
  int32_t row_bytes;  // of BF16
  int32_t num_topk;
  int32_t rank_major;
  int32_t weighted;      // multiply by the gate weights that the handle keeps
  int32_t with_weights;  // weights go back, too
  int32_t output;        // of this rank, in this call
};

// The receiving half: all nodes' parts of this rank's tokens.
struct NodeSumParams {
  InternodeView nodes;
  RankView view;
  HandleView handle;
  NodeHandleView node_handle;
  const char* bias0;   // [num_tokens, row_bytes]; or null
  const char* bias1;   // as bias0; only with it
  char* out;           // [num_tokens, row_bytes]
  float* out_weights;  // [num_tokens, num_topk]; or null
  int32_t num_tokens;
  int32_t row_bytes;  // of BF16
  int32_t num_topk;
  int32_t fanout;  // entries of handle.rows per token: n, or K in expert-major order
  int32_t rank_major;
  int32_t weighted;
  int32_t output;  // of this rank, in this call
};

// Loads the kernels, so that no launch does.
cudaError_t load_node_combine();

cudaError_t launch_node_reduce(const NodeReduceParams& params, int num_blocks,
                               const Stream& stream);

// Both halves at once; puts are done without a queue.
cudaError_t launch_node_combine(const NodeReduceParams& reduce, const NodeSumParams& sum,
                                int num_blocks, const Stream& stream);

cudaError_t launch_node_sum(const NodeSumParams& params, int num_blocks, const Stream& stream);

}  // namespace ep4j
