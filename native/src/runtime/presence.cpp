#include "runtime/presence.hpp"

#include <algorithm>
#include <mutex>
#include <set>
#include <vector>

namespace ep4j {
namespace {

std::mutex mutex;  // of the set, and of what its members know

std::set<const Presence*>& present() {
  static std::set<const Presence*> buffers;
  return buffers;
}

}  // namespace

Presence::Presence(int device, bool low_latency) : device_(device), low_latency_(low_latency) {
  std::scoped_lock lock(mutex);
  present().insert(this);
}

Presence::~Presence() {
  std::scoped_lock lock(mutex);
  present().erase(this);
}

void Presence::join(uint64_t group, int other_ranks) {
  std::scoped_lock lock(mutex);
  group_ = group;
  other_ranks_ = other_ranks;
}

void Presence::keep(int blocks) {
  std::scoped_lock lock(mutex);
  kept_blocks_ = std::max(kept_blocks_, blocks);
}

DeviceUse Presence::use() const {
  std::scoped_lock lock(mutex);
  DeviceUse use = {};
  std::set<uint64_t> groups;  // whose other ranks are counted
  for (const Presence* buffer : present()) {
    if (buffer->device_ != device_) {
      continue;
    }
    use.buffers++;
    use.low_latency_ranks += buffer->low_latency_ ? 1 : 0;
    use.kept_blocks += buffer->kept_blocks_;
    if (groups.insert(buffer->group_).second) {
      use.other_ranks += buffer->other_ranks_;
      use.low_latency_ranks += buffer->low_latency_ ? buffer->other_ranks_ : 0;
    }
  }
  return use;
}

int Presence::low_latency_blocks(int num_sms) const {
  const DeviceUse everybody = use();
  std::scoped_lock lock(mutex);
  std::vector<int> kept;
  for (const Presence* buffer : present()) {
    if (buffer->device_ == device_ && buffer != this && buffer->low_latency_) {
      kept.push_back(buffer->kept_blocks_);
    }
  }
  return low_latency_share(num_sms, everybody, kept);
}

}  // namespace ep4j
