// ep4j_nvshmem_tests RANKS [forms SEEDS | soak ROUNDS | faults | death | bench FILE COMMIT]: RANKS
// processes on one device. Without more: forms, faults and a soak. "death": only the faults that end
// processes. With several processes on a device start NVIDIA MPS first, or every exchange takes
// milliseconds.
#include <cstdlib>
#include <cstring>

#include "nvshmem_test.hpp"

namespace {

using namespace ep4j::test;

int usage() {
  std::printf(
      "ep4j_nvshmem_tests RANKS [forms SEEDS | soak ROUNDS | faults | death | bench FILE "
      "COMMIT]\n");
  return 2;
}

// All that leaves NVSHMEM running.
int run_all(PeGroup& group, int argc, char** argv) {
  const std::string what = argc > 2 ? argv[2] : "";
  if (group.rank() == 0 && !print_device()) {
    return 1;
  }
  start_nvshmem(group);
  if (what == "bench") {
    bench_nvshmem(group, argv[3], argv[4]);
    return 0;
  }
  PeSuite suite(group);
  if (what.empty() || what == "forms") {
    nvshmem_form_tests(suite, group, what.empty() ? 10 : std::atoi(argv[3]));
  }
  if (what.empty() || what == "faults") {
    nvshmem_fault_tests(suite, group);
  }
  if (what.empty() || what == "soak") {
    nvshmem_soak_tests(suite, group, what.empty() ? 200 : std::atoi(argv[3]));
  }
  group.meet();
  suite.run("NVSHMEM stops", [] { ok(ep4j_nvshmem_stop(0), "stopping"); });
  return suite.finish();
}

int run_death(PeGroup& group, bool known) {
  start_nvshmem(group);
  PeSuite suite(group);
  nvshmem_death_test(suite, group, known);
  ok(ep4j_nvshmem_stop(1), "abandoning NVSHMEM");
  const int code = suite.finish();
  std::fflush(stdout);
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  const int ranks = argc > 1 ? std::atoi(argv[1]) : 2;
  const std::string what = argc > 2 ? argv[2] : "";
  const int needed = what == "bench" ? 5 : what == "forms" || what == "soak" ? 4 : 1;
  if (ranks < 1 || ranks > EP4J_MAX_RANKS || argc < needed) {
    return usage();
  }
  constexpr int kSeconds = 600;
  int failed = 0;
  if (what != "death") {
    failed = PeGroup::launch(ranks, kSeconds,
                             [&](PeGroup& group) { return run_all(group, argc, argv); });
  }
  if (ranks > 1 && (what.empty() || what == "faults" || what == "death")) {
    for (bool known : {true, false}) {
      failed += PeGroup::launch(ranks, 40, [&](PeGroup& group) { return run_death(group, known); });
    }
  }
  std::printf("%d PEs failed\n", failed);
  return failed == 0 ? 0 : 1;
}
