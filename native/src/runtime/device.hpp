// Devices, and what a buffer needs to know of its own.
#pragma once

#include "runtime/status.hpp"

namespace ep4j {

// Devices that there are; throws NO_DEVICE, with the reason, if there are none.
int device_count();

// Fills in a description.
void describe_device(int device, ep4j_device& info);

// Fills in how one device reaches another.
void describe_link(int device, int peer, ep4j_link& link);

// What kernels are sized by.
struct DeviceLimits {
  int num_sms;
  int shared_bytes;  // that one block may have
  bool has_bulk_copy;
  bool has_programmatic_launch;
};

DeviceLimits device_limits(int device);

// Makes a device current for one scope.
class DeviceScope {
 public:
  explicit DeviceScope(int device);
  ~DeviceScope();
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

 private:
  int previous_;
};

}  // namespace ep4j
