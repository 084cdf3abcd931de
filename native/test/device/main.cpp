#include <cstdio>
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
void membership_tests(Suite& suite);
void mismatch_tests(Suite& suite);
void open_results_tests(Suite& suite);
void environment_tests(Suite& suite);
int expect_refusal(const char* rule);
void round_trip_tests(Suite& suite, bool single_rank);
void soak_tests(Suite& suite, int rounds);
}  // namespace ep4j::test

// No argument: everything. "small": few small cases, for a memory checker. "soak N": N short
// rounds.
int main(int argc, char** argv) {
  using namespace ep4j::test;
  ep4j_device device = {};
  device.struct_size = sizeof device;
  if (ep4j_device_info(0, &device) != EP4J_OK) {
    std::printf("no device: %s\n", ep4j_last_error());
    return 1;
  }
  std::printf("device %s, %d.%d, %d SMs, driver %d\n", device.name, device.compute_major,
              device.compute_minor, device.num_sms, device.driver_version);
  if (argc > 2 && std::strcmp(argv[1], "refusal") == 0) {
    return expect_refusal(argv[2]);
  }
  const bool single = argc > 1 && std::strcmp(argv[1], "single") == 0;
  const bool soak = argc > 2 && std::strcmp(argv[1], "soak") == 0;
  Suite suite;
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
    open_results_tests(suite);
    graph_tests(suite);
  }
  if (!single) {
    soak_tests(suite, soak ? std::atoi(argv[2]) : 2000);
  }
  return suite.finish();
}
