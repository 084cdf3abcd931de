#include <cstdlib>
#include <cstring>

#include "check.hpp"
#include "world.hpp"

namespace ep4j::test {
void low_latency_fault_tests(Suite& suite);
void low_latency_soak_tests(Suite& suite, int rounds);
void low_latency_tests(Suite& suite, bool single_rank);
}  // namespace ep4j::test

// No argument: everything. "single": cases of one rank, for a memory checker. "faults": those alone.
// "soak N": graph replays and N short rounds.
int main(int argc, char** argv) {
  using namespace ep4j::test;
  if (!print_device()) {
    return 1;
  }
  const bool single = argc > 1 && std::strcmp(argv[1], "single") == 0;
  const bool soak = argc > 2 && std::strcmp(argv[1], "soak") == 0;
  const bool faults = argc > 1 && std::strcmp(argv[1], "faults") == 0;
  Suite suite;
  if (!soak && !faults) {
    low_latency_tests(suite, single);
  }
  if (!soak && !single) {
    low_latency_fault_tests(suite);
  }
  if (!single && !faults) {
    low_latency_soak_tests(suite, soak ? std::atoi(argv[2]) : 600);
  }
  return suite.finish();
}
