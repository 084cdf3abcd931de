// The ends of a buffer's calls: events recorded in turn. An event may have been recorded again since
// its call: then it tells of a later end, which is never too early, because all calls of a buffer
// are one sequence on the device. So the caller can ask for any call's end, though the call does
// not know whether it will, at the price of the one event that orders the next call anyway.
#pragma once

#include <array>

#include "runtime/memory.hpp"

namespace ep4j {

class CallEnds {
 public:
  CallEnds() {
    for (size_t i = 0; i < events_.size(); i++) {
      handles_[i] = events_[i].get();
    }
  }

  void record(cudaStream_t stream) {
    check(cudaEventRecord(handles_[count_ % events_.size()], stream), "recording a call's end");
    count_++;
  }

  // The last end; before there is one, an event that counts as passed.
  cudaEvent_t last() const {
    return handles_[(count_ + events_.size() - 1) % events_.size()];
  }

  const uint64_t* count() const { return &count_; }
  void* const* handles() const { return reinterpret_cast<void* const*>(handles_.data()); }

 private:
  uint64_t count_ = 0;
  std::array<Event, EP4J_CALL_ENDS> events_;
  std::array<cudaEvent_t, EP4J_CALL_ENDS> handles_ = {};
};

}  // namespace ep4j
