// CUDA objects that are freed with their owner.
#pragma once

#include <utility>

#include "runtime/status.hpp"

namespace ep4j {

class DeviceMemory {
 public:
  DeviceMemory() = default;
  explicit DeviceMemory(size_t bytes) {
    check(cudaMalloc(&address_, bytes), "allocating device memory");
  }
  DeviceMemory(DeviceMemory&& other) noexcept : address_(std::exchange(other.address_, nullptr)) {}
  DeviceMemory& operator=(DeviceMemory&& other) noexcept {
    std::swap(address_, other.address_);
    return *this;
  }
  ~DeviceMemory() {
    if (address_ != nullptr) {
      cudaFree(address_);
    }
  }

  char* get() const { return static_cast<char*>(address_); }

  // Leaves the memory allocated for good.
  void abandon() { address_ = nullptr; }

 private:
  void* address_ = nullptr;
};

// Host memory that devices address.
class PinnedMemory {
 public:
  PinnedMemory() = default;
  explicit PinnedMemory(size_t bytes) {
    check(cudaHostAlloc(&address_, bytes, cudaHostAllocMapped | cudaHostAllocPortable),
          "allocating pinned memory");
  }
  PinnedMemory(PinnedMemory&& other) noexcept : address_(std::exchange(other.address_, nullptr)) {}
  PinnedMemory& operator=(PinnedMemory&& other) noexcept {
    std::swap(address_, other.address_);
    return *this;
  }
  ~PinnedMemory() {
    if (address_ != nullptr) {
      cudaFreeHost(address_);
    }
  }

  char* host() const { return static_cast<char*>(address_); }

  char* device() const {
    void* mapped = nullptr;
    check(cudaHostGetDevicePointer(&mapped, address_, 0), "mapping pinned memory");
    return static_cast<char*>(mapped);
  }

 private:
  void* address_ = nullptr;
};

class Event {
 public:
  Event() { check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "making an event"); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { cudaEventDestroy(event_); }

  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace ep4j
