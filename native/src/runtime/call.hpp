// What the buffer's calls have in common.
#pragma once

#include <initializer_list>

#include "runtime/buffer.hpp"

namespace ep4j {

enum class Operation : uint64_t {
  kDispatch = 1,
  kCachedDispatch = 2,
  kCombine = 3,
  kLowLatencyDispatch = 4,
  kLowLatencyCombine = 5
};

inline bool is_aligned(const void* address) {
  return reinterpret_cast<uint64_t>(address) % 16 == 0;
}

inline uint64_t pair(int high, int low) {
  return static_cast<uint64_t>(static_cast<uint32_t>(high)) << 32 | static_cast<uint32_t>(low);
}

// One byte per field, the first lowest.
inline uint64_t head(std::initializer_list<uint64_t> fields) {
  uint64_t word = 0;
  int shift = 0;
  for (uint64_t field : fields) {
    word |= field << shift;
    shift += 8;
  }
  return word;
}

// Calls form one sequence on the device, whatever streams they name. In a capture the graph alone
// orders: events of the outside can't be waited for there.
class Buffer::Call {
 public:
  Call(Buffer& buffer, cudaStream_t stream)
      : buffer_(buffer), stream_(stream), scope_(buffer.config_.device) {
    buffer.check_stream(stream);
    cudaStreamCaptureStatus status;
    check(cudaStreamIsCapturing(stream, &status), "asking whether a stream is captured");
    capturing_ = status != cudaStreamCaptureStatusNone;
    buffer.captured_ = buffer.captured_ || capturing_;
    if (!capturing_ && buffer.last_stream_ != nullptr && buffer.last_stream_ != stream) {
      wait_for(buffer.ends_.last());
    }
    if (!capturing_ && buffer.control_pending_) {
      wait_for(buffer.control_.get());
      buffer.control_pending_ = false;
    }
  }

  // The call was issued.
  void finish() {
    if (!capturing_) {
      buffer_.ends_.record(stream_);
      buffer_.last_stream_ = stream_;
    }
  }

  void wait_for(cudaEvent_t event) const {
    if (!capturing_) {
      check(cudaStreamWaitEvent(stream_, event, 0), "ordering streams");
    }
  }

  bool capturing() const { return capturing_; }

 private:
  Buffer& buffer_;
  cudaStream_t stream_;
  DeviceScope scope_;
  bool capturing_ = false;
};

}  // namespace ep4j
