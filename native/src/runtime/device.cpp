#include "runtime/device.hpp"

#include <cstring>

namespace ep4j {
namespace {

constexpr int kBulkCopyMajor = 9;  // first compute capability with the bulk-copy engine

int attribute(cudaDeviceAttr name, int device) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, name, device), "reading a device attribute");
  return value;
}

}  // namespace

int device_count() {
  int count = 0;
  cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaErrorInsufficientDriver) {
    throw StatusError(EP4J_NO_DEVICE,
                      "no usable CUDA driver: libcuda.so.1 is absent, or older than CUDA 13 needs");
  }
  if (error != cudaSuccess) {
    throw StatusError(EP4J_NO_DEVICE, text("no CUDA device: ", cudaGetErrorString(error), " (",
                                           cudaGetErrorName(error), ")"));
  }
  if (count == 0) {
    throw StatusError(EP4J_NO_DEVICE, "no CUDA device: the driver reports none");
  }
  return count;
}

void describe_device(int device, ep4j_device& info) {
  int count = device_count();
  require(device >= 0 && device < count, "device must be from 0 to ", count - 1, ": ", device);
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, device), "reading device properties");
  std::strncpy(info.name, properties.name, sizeof info.name - 1);
  info.name[sizeof info.name - 1] = 0;
  static_assert(sizeof info.uuid == sizeof properties.uuid);
  std::memcpy(info.uuid, &properties.uuid, sizeof info.uuid);
  info.compute_major = properties.major;
  info.compute_minor = properties.minor;
  info.num_sms = properties.multiProcessorCount;
  info.has_bulk_copy = properties.major >= kBulkCopyMajor;
  info.shared_bytes = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  info.is_shared = attribute(cudaDevAttrMpsEnabled, device);
  info.total_bytes = properties.totalGlobalMem;
  check(cudaDriverGetVersion(&info.driver_version), "reading the driver's version");
  check(cudaRuntimeGetVersion(&info.runtime_version), "reading the runtime's version");
}

void describe_link(int device, int peer, ep4j_link& link) {
  int count = device_count();
  require(device >= 0 && device < count && peer >= 0 && peer < count && device != peer,
          "device and peer must be two, from 0 to ", count - 1, ": ", device, " and ", peer);
  auto property = [&](cudaDeviceP2PAttr name) {
    int value = 0;
    check(cudaDeviceGetP2PAttribute(&value, name, device, peer), "asking for peer access");
    return value;
  };
  link.has_access = property(cudaDevP2PAttrAccessSupported);
  link.has_atomics = property(cudaDevP2PAttrNativeAtomicSupported);
  link.rank = property(cudaDevP2PAttrPerformanceRank);
}

DeviceLimits device_limits(int device) {
  constexpr int kProgrammaticLaunchMajor = 9;
  const int major = attribute(cudaDevAttrComputeCapabilityMajor, device);
  return {attribute(cudaDevAttrMultiProcessorCount, device),
          attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, device), major >= kBulkCopyMajor,
          major >= kProgrammaticLaunchMajor};
}

DeviceScope::DeviceScope(int device) {
  check(cudaGetDevice(&previous_), "reading the current device");
  if (previous_ != device) {
    check(cudaSetDevice(device), "choosing a device");
  }
}

DeviceScope::~DeviceScope() { cudaSetDevice(previous_); }

}  // namespace ep4j
