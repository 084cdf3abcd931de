#include "runtime/presence.hpp"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>
#include <vector>

namespace ep4j {
namespace {

std::mutex mutex;  // of the set, and of what its members know

std::atomic<uint64_t> changes = 1;  // to what shares depend on, made under the mutex

std::set<const Presence*>& present() {
  static std::set<const Presence*> buffers;
  return buffers;
}

}  // namespace

Presence::Presence(int device, bool low_latency) : device_(device), low_latency_(low_latency) {
  std::scoped_lock lock(mutex);
  present().insert(this);
  changes++;
}

Presence::~Presence() {
  std::scoped_lock lock(mutex);
  present().erase(this);
  changes++;
}

void Presence::join(uint64_t group, int other_ranks) {
  std::scoped_lock lock(mutex);
  group_ = group;
  other_ranks_ = other_ranks;
  changes++;
}

void Presence::keep(int blocks) {
  std::scoped_lock lock(mutex);
  if (blocks > kept_blocks_) {
    kept_blocks_ = blocks;
    changes++;
  }
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

int Presence::low_latency_blocks(int num_sms) {
  const uint64_t now = changes;
  if (now == answered_) {
    return answer_;
  }
  const DeviceUse everybody = use();
  std::scoped_lock lock(mutex);
  std::vector<int> kept;
  for (const Presence* buffer : present()) {
    if (buffer->device_ == device_ && buffer != this && buffer->low_latency_) {
      kept.push_back(buffer->kept_blocks_);
    }
  }
  answer_ = low_latency_share(num_sms, everybody, kept);
  answered_ = now;
  return answer_;
}

}  // namespace ep4j
