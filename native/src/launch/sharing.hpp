// When ranks may share a device: decided on the host from what is in force there, and tested there.
#pragma once

#include <string>

namespace ep4j {

// What a device's context was made with. Streams that share a hardware connection run in order, and
// a module that is loaded late can wait for running kernels; both may wait for a peer.
struct ContextSettings {
  int connections;        // CUDA_DEVICE_MAX_CONNECTIONS
  bool eager;             // CUDA_MODULE_LOADING
  bool made_before_load;  // of this library, which therefore could not set them
};

// Who uses a device.
struct DeviceUse {
  int buffers;         // of this process, each one rank's end
  int other_ranks;     // of the group, in other processes
  int waiting_blocks;  // that fit on the device: each buffer's calls have at most one at a time
};

constexpr int kStreamsPerBuffer = 2;  // of its calls, and beside them

// Why these buffers can't work together; empty if they can.
inline std::string sharing_refusal(int device, const ContextSettings& settings,
                                   const DeviceUse& use) {
  const std::string where = "device " + std::to_string(device);
  const int all = use.buffers + use.other_ranks;
  if (all > use.waiting_blocks) {
    return where + " must hold one waiting block for each rank's buffer on it: it holds " +
           std::to_string(use.waiting_blocks) + ", and there are " + std::to_string(all);
  }
  if (use.buffers < 2) {
    return "";
  }
  const std::string fix = settings.made_before_load
                              ? "; the device's context was made before this library was loaded: "
                                "set it before the process starts"
                              : "; the process was started with it";
  const std::string sharers = " for " + std::to_string(use.buffers) + " ranks' buffers of one " +
                              "process on " + where;
  if (!settings.eager) {
    return "CUDA_MODULE_LOADING must be EAGER" + sharers + ", and it is not" + fix;
  }
  if (settings.connections < kStreamsPerBuffer * use.buffers) {
    return "CUDA_DEVICE_MAX_CONNECTIONS must be at least " +
           std::to_string(kStreamsPerBuffer * use.buffers) + sharers + ": " +
           std::to_string(settings.connections) + fix;
  }
  return "";
}

}  // namespace ep4j
