// Calls that only move memory of this rank.
#include "kernels/normal/copy_pieces.hpp"
#include "runtime/buffer.hpp"

namespace ep4j {

void Buffer::copy(const ep4j_copy_call& call, cudaStream_t stream) const {
  check_stream(stream);
  require(call.count >= 0 && call.count <= kMaxPieces, "count must be from 0 to ", kMaxPieces, ": ",
          call.count);
  CopyParams params = {};
  for (int i = 0; i < call.count; i++) {
    require(call.bytes[i] >= 0, "bytes must not be negative: ", call.bytes[i], " of copy ", i);
    require(call.bytes[i] == 0 || (call.from[i] != nullptr && call.to[i] != nullptr),
            "from and to must be given: copy ", i);
    params.add(call.from[i], call.to[i], call.bytes[i]);
  }
  const int blocks = num_blocks(call.num_sms);
  DeviceScope scope(config_.device);
  check(launch_copy_pieces(params, blocks, stream), "launching a copy");
}

}  // namespace ep4j
