// Tests that every PE of a group runs alike.
#pragma once

#include "pe_world.hpp"

namespace ep4j::test {

// Counts a case once, failed if it failed on any rank; rank 0 prints. All ranks run the same cases.
class PeSuite {
 public:
  explicit PeSuite(PeGroup& group) : group_(group) {}

  void run(const std::string& name, const std::function<void()>& body);

  // The exit code.
  int finish() const;

 private:
  PeGroup& group_;
  Suite suite_;
  int failed_ = 0;  // as rank 0's suite counts
};

void nvshmem_form_tests(PeSuite& suite, PeGroup& group, int seeds);
void nvshmem_soak_tests(PeSuite& suite, PeGroup& group, int rounds);

// The last rank is silent; afterwards it is alive.
void nvshmem_fault_tests(PeSuite& suite, PeGroup& group);

// The last rank is killed; the others end without it. known: they are told, else a deadline ends
// their wait for it.
void nvshmem_death_test(PeSuite& suite, PeGroup& group, bool known);

// Normal mode across nodes; routing and order are drawn from the seed, the same on all ranks.
void nvshmem_node_tests(PeSuite& suite, PeGroup& group, int ranks_per_node, int rounds,
                        uint64_t seed);

// A few of these, and all faults: for a simulated device.
void nvshmem_node_quick_tests(PeSuite& suite, PeGroup& group, int ranks_per_node);
void nvshmem_node_fault_tests(PeSuite& suite, PeGroup& group, int ranks_per_node);

// The last rank, a node of its own, is killed: between calls, or so long after it has issued a call, in
// which its kernel waits for the others; negative: between calls.
void nvshmem_node_death_test(PeSuite& suite, PeGroup& group, int wait_millis, bool forced);

void bench_nvshmem(PeGroup& group, const char* path, const std::string& commit);

}  // namespace ep4j::test
