// Tells peers where this rank's expert outputs lie, and waits for theirs.
#pragma once

#include <cuda_runtime_api.h>

#include "device/stream.hpp"
#include "layout/rank_view.hpp"

namespace ep4j {

struct ReadersParams {
  RankView view;
  CallWords words;            // of the combine that waits, but for the handle
  const uint64_t* handle_id;  // null: no combine has begun
  int32_t output;    // that will be written
  uint32_t outputs;  // bit o: output o must have been read everywhere
};

struct PublishParams {
  RankView view;
  CallWords words;  // but for the handle, which the device knows
  const uint64_t* handle_id;
  ReadyMessage message;  // but for the tag, and what goes over a network
  const int32_t* returning;  // [nodes] of the handle; null where all ranks are one node
  int32_t output;
};

struct OutputsParams {
  RankView view;
  CallWords words;
  const uint64_t* handle_id;
  const int32_t* sent_rows;  // [n] of the handle; null where the call's rows are counted elsewhere
  int32_t output;            // of this rank, in this call
};

// Loads the kernels of this file, so that no launch does.
cudaError_t load_combine_exchange();

// An output may be written again: every peer has read its last contents.
cudaError_t launch_await_readers(const ReadersParams& params, const Stream& stream);

// The sending half of a combine.
cudaError_t launch_combine_publish(const PublishParams& params, const Stream& stream);

// What the summing kernel has to know.
cudaError_t launch_await_outputs(const OutputsParams& params, const Stream& stream);

}  // namespace ep4j
