#include <cstdio>
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
  ep4j_device device = {};
  device.struct_size = sizeof device;
  if (ep4j_device_info(0, &device) != EP4J_OK) {
    std::printf("no device: %s\n", ep4j_last_error());
    return 1;
  }
  std::printf("device %s, %d.%d, %d SMs, driver %d\n", device.name, device.compute_major,
              device.compute_minor, device.num_sms, device.driver_version);
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
