// This process as a PE of NVSHMEM, and windows in its symmetric heap. The only host code that knows
// NVSHMEM.
//
// NVSHMEM's calls on the host wait for all PEs without a deadline, and one that never comes back
// can't be called off. Those that release are therefore made on a thread of their own: at the
// deadline the thread is left behind, with all that NVSHMEM holds, and the world is abandoned,
// which means that nothing of NVSHMEM is called any more.
#pragma once

#include "ep4j_nvshmem.h"
#include "runtime/window.hpp"

namespace ep4j {

class NvshmemWorld {
 public:
  // The one of this process.
  static NvshmemWorld& instance();

  void make_id(ep4j_nvshmem_id& id) const;
  void start(const ep4j_nvshmem_config& config, const ep4j_nvshmem_id& id);

  // False if the others did not come in time.
  bool stop();
  void abandon(int64_t window_bytes);
  void describe(ep4j_nvshmem_standing& standing) const;

  // Whether NVSHMEM was started and has not been stopped.
  bool is_left_running() const { return running_ || abandoned_; }

  // Throws if no window can be made now.
  void require_running(int rank, int num_ranks) const;

  char* allocate(int64_t bytes);
  void release(char* window, int64_t bytes);

  // A peer's window by the address of the own one; null if only a network reaches it.
  char* reach(char* window, int rank) const;

 private:
  NvshmemWorld() = default;
  template <class Action>
  bool finishes(Action action) const;

  bool running_ = false;
  bool abandoned_ = false;
  int windows_ = 0;
  uint64_t abandoned_bytes_ = 0;
  ep4j_nvshmem_config config_ = {};
};

// Windows of equal size on all ranks. Those that are forced to be far are of other nodes than of the
// ranks_per_node here; 1 where nobody has said what a node is.
class NvshmemTransport : public Transport {
 public:
  NvshmemTransport(const ep4j_nvshmem_window& window, const ep4j_buffer_config& buffer,
                   int ranks_per_node);

  bool has_network() const override { return true; }
  std::unique_ptr<Window> allocate(int64_t bytes) const override;

 private:
  const ep4j_nvshmem_window window_;
  const int rank_;
  const int ranks_per_node_;
};

}  // namespace ep4j
