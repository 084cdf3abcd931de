// When ranks may share a device: decided on the host from what is in force there, and tested there.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

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
  int buffers = 0;            // of this process, each one rank's end
  int other_ranks = 0;        // of their groups, in other processes
  int waiting_blocks = 0;     // that fit on the device: a buffer's normal calls have one at a time
  int low_latency_ranks = 0;  // of both, those with low-latency mode
  int kept_blocks = 0;        // of low-latency calls in graphs of this process, all together
  int num_sms = 0;            // of the device
};

constexpr int kStreamsPerBuffer = 2;  // of its calls, and beside them

// Blocks that each low-latency call may have, so that all that may wait at once are resident: its
// blocks fill a multiprocessor each, and so may the one waiting block of a buffer that has no such
// calls. kept: blocks in graphs of the others, which take no smaller share.
inline int low_latency_share(int num_sms, const DeviceUse& use, std::vector<int> kept) {
  int sharers = use.low_latency_ranks;
  int blocks = num_sms - (use.buffers + use.other_ranks - sharers);
  std::sort(kept.begin(), kept.end(), std::greater<int>());
  for (int more : kept) {
    if (sharers <= 1 || more <= blocks / sharers) {
      break;
    }
    blocks -= more;
    sharers--;
  }
  return std::max(0, blocks / std::max(1, sharers));
}

// Why these buffers can't work together; empty if they can.
inline std::string sharing_refusal(int device, const ContextSettings& settings,
                                   const DeviceUse& use) {
  const std::string where = "device " + std::to_string(device);
  const int all = use.buffers + use.other_ranks;
  if (all > use.waiting_blocks) {
    return where + " must hold one waiting block for each rank's buffer on it: it holds " +
           std::to_string(use.waiting_blocks) + ", and there are " + std::to_string(all);
  }
  const int waiting = all - use.low_latency_ranks;
  if (use.kept_blocks > 0 && use.kept_blocks + waiting > use.num_sms) {
    return where + " must hold the blocks of low-latency calls in graphs beside one waiting block " +
           "for each buffer without that mode: of its " + std::to_string(use.num_sms) +
           " multiprocessors graphs have " + std::to_string(use.kept_blocks) + ", and there are " +
           std::to_string(waiting) + " such buffers";
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
