// The open buffers on each device, as far as this process knows: its own, and the other ranks of
// their groups that use the same device from processes of their own.
#pragma once

#include <cstdint>

#include "launch/sharing.hpp"

namespace ep4j {

// One buffer's presence on its device, from its making to its disconnection.
class Presence {
 public:
  Presence(int device, bool low_latency);
  ~Presence();
  Presence(const Presence&) = delete;
  Presence& operator=(const Presence&) = delete;

  // The buffer's group is known: its key, the same for all its members here, and how many ranks of
  // other processes it has on this device.
  void join(uint64_t group, int other_ranks);

  // A graph has kept so many blocks of a low-latency call, and will launch them whenever it likes.
  void keep(int blocks);

  // Everybody on the device; waiting_blocks and num_sms are left to the caller.
  DeviceUse use() const;

  // Blocks that a low-latency call of this buffer may have. For the buffer's one user: every call
  // asks, so the answer is kept until some buffer comes, goes or is captured.
  int low_latency_blocks(int num_sms);

 private:
  const int device_;
  const bool low_latency_;
  uint64_t group_ = 0;  // 0: not known yet
  int other_ranks_ = 0;
  int kept_blocks_ = 0;
  uint64_t answered_ = 0;  // changes that the answer is of
  int answer_ = 0;
};

}  // namespace ep4j
