// One rank's buffer over NVSHMEM for a case, in a process of its own.
#pragma once

#include "low_latency.hpp"
#include "pe_group.hpp"

namespace ep4j::test {

// Joins NVSHMEM; once per process.
void start_nvshmem(PeGroup& group);

class PeWorld : public Ranks {
 public:
  struct Options {
    bool force_remote = false;
    bool mask_on_timeout = false;
    size_t scratch_bytes = size_t{384} << 20;
  };

  // Collective, as its end is; without low latency if that is null, over several nodes if the case is.
  PeWorld(PeGroup& group, const Case& c, const ep4j_low_latency_config* low_latency,
          const Options& options);
  ~PeWorld() override;
  PeWorld(const PeWorld&) = delete;

  RankEnd& end() { return *end_; }

  void run(const std::function<void(RankEnd&)>& body) override;
  void meet() override { group_.meet(); }

  // Ends this rank's buffer after another rank has died: leaves its window, or tries to free it, in
  // vain. After the latter a barrier of NVSHMEM waits on the device for good, and so would whoever
  // frees memory: the rank's stream and scratch are left as they are.
  void close(bool abandon_window);

 private:
  PeGroup& group_;
  std::unique_ptr<RankEnd> end_;
};

}  // namespace ep4j::test
