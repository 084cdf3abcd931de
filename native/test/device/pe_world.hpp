// One rank's buffer over NVSHMEM for a case, in a process of its own.
#pragma once

#include "low_latency.hpp"
#include "pe_group.hpp"

namespace ep4j::test {

// Joins NVSHMEM; once per process.
void start_nvshmem(PeGroup& group);

class PeWorld {
 public:
  struct Options {
    bool force_remote = false;
    bool mask_on_timeout = false;
  };

  // Collective, as its end is; without low latency if that is null.
  PeWorld(PeGroup& group, const Case& c, const ep4j_low_latency_config* low_latency,
          const Options& options);
  ~PeWorld();
  PeWorld(const PeWorld&) = delete;

  RankEnd& end() { return *end_; }

  // Ends this rank's buffer after another rank has died: leaves its window, or tries to free it, in
  // vain. After the latter a barrier of NVSHMEM waits on the device for good, and so would whoever
  // frees memory: the rank's stream and scratch are left as they are.
  void close(bool abandon_window);

 private:
  PeGroup& group_;
  std::unique_ptr<RankEnd> end_;
};

}  // namespace ep4j::test
