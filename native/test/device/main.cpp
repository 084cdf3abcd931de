#include <cstdlib>
#include <cstring>

#include "check.hpp"
#include "world.hpp"

namespace ep4j::test {
void arena_tests(Suite& suite);
void conversion_tests(Suite& suite);
void copy_tests(Suite& suite);
void fault_tests(Suite& suite);
void graph_tests(Suite& suite);
void layout_call_tests(Suite& suite);
void measure_tests(Suite& suite);
void late_writer_tests(Suite& suite);
void membership_tests(Suite& suite);
void mismatch_tests(Suite& suite);
void open_results_tests(Suite& suite);
void environment_tests(Suite& suite);
int expect_refusal(const char* rule);
void round_trip_tests(Suite& suite, bool single_rank);
void soak_tests(Suite& suite, int rounds);
}  // namespace ep4j::test

// No argument: everything. "only TEXT": cases with TEXT in their names. "single": calls of one rank, for a memory checker. "soak N": N short
// rounds. "refusal RULE": what environment_test starts as a process of its own.
int main(int argc, char** argv) {
  using namespace ep4j::test;
  if (!print_device()) {
    return 1;
  }
  if (argc > 2 && std::strcmp(argv[1], "refusal") == 0) {
    return expect_refusal(argv[2]);
  }
  const bool single = argc > 1 && std::strcmp(argv[1], "single") == 0;
  const bool soak = argc > 2 && std::strcmp(argv[1], "soak") == 0;
  Suite suite(argc > 2 && std::strcmp(argv[1], "only") == 0 ? argv[2] : "");
  if (!soak) {
    copy_tests(suite);
    layout_call_tests(suite);
    measure_tests(suite);
    round_trip_tests(suite, single);
  }
  if (!soak && !single) {
    arena_tests(suite);
    conversion_tests(suite);
    environment_tests(suite);
    fault_tests(suite);
    mismatch_tests(suite);
    membership_tests(suite);
    late_writer_tests(suite);
    open_results_tests(suite);
    graph_tests(suite);
  }
  if (!single) {
    soak_tests(suite, soak ? std::atoi(argv[2]) : 2000);
  }
  return suite.finish();
}
