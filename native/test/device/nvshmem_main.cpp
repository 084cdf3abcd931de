// ep4j_nvshmem_tests RANKS [forms SEEDS | soak ROUNDS | faults | death | bench FILE COMMIT |
// nodes RANKS_PER_NODE [ROUNDS [SEED] | quick | faults] | nodes 1 death |
// nodes 1 death-waiting [MILLISECONDS]]: RANKS processes on one device. Without more: forms, faults
// and a soak of low latency. "nodes": normal mode across nodes, faults included, by a seed that is
// printed. "death": only the faults that end processes. With several processes on a device start
// NVIDIA MPS first, or every exchange takes milliseconds; but not for death-waiting, which kills a
// process whose kernel runs: MPS would take the others' contexts along.
#include <cstdlib>
#include <cstring>
#include <random>

#include "nvshmem_test.hpp"

namespace {

using namespace ep4j::test;

int usage() {
  std::printf(
      "ep4j_nvshmem_tests RANKS [forms SEEDS | soak ROUNDS | faults | death | bench FILE COMMIT |\n"
      "    nodes RANKS_PER_NODE [ROUNDS [SEED] | quick | faults] | nodes 1 death |\n"
      "    nodes 1 death-waiting [MILLISECONDS]]\n");
  return 2;
}

void run_nodes(PeSuite& suite, PeGroup& group, int argc, char** argv) {
  const int ranks_per_node = std::atoi(argv[3]);
  const std::string part = argc > 4 ? argv[4] : "";
  uint64_t seed = argc > 5 ? std::strtoull(argv[5], nullptr, 10) : std::random_device()() % 1000000;
  seed = group.exchange(seed)[0];
  if (part == "quick") {
    nvshmem_node_quick_tests(suite, group, ranks_per_node);
  } else if (part != "faults") {
    if (group.rank() == 0) {
      std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
    }
    nvshmem_node_tests(suite, group, ranks_per_node, part.empty() ? 200 : std::atoi(argv[4]), seed);
  }
  nvshmem_node_fault_tests(suite, group, ranks_per_node);
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
  if (what == "nodes") {
    run_nodes(suite, group, argc, argv);
  }
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

int run_death(PeGroup& group, const std::function<void(PeSuite&)>& test) {
  start_nvshmem(group);
  PeSuite suite(group);
  test(suite);
  ok(ep4j_nvshmem_stop(1), "abandoning NVSHMEM");
  const int code = suite.finish();
  std::fflush(stdout);
  return code;  // and exit, which must not be NVSHMEM's to decide after it was abandoned
}

}  // namespace

int main(int argc, char** argv) {
  const int ranks = argc > 1 ? std::atoi(argv[1]) : 2;
  const std::string what = argc > 2 ? argv[2] : "";
  const bool one_word = what == "forms" || what == "soak" || what == "nodes";
  const int needed = what == "bench" ? 5 : one_word ? 4 : 1;
  if (ranks < 1 || ranks > EP4J_MAX_RANKS || argc < needed) {
    return usage();
  }
  const int ranks_per_node = what == "nodes" ? std::atoi(argv[3]) : 1;
  if (ranks_per_node < 1 || ranks % ranks_per_node != 0 || (what == "nodes" && ranks_per_node == ranks)) {
    return usage();
  }
  constexpr int kSeconds = 600;
  const std::string part = what == "nodes" && argc > 4 ? argv[4] : "";
  int failed = 0;
  if (part == "death" || part == "death-waiting") {
    const int wait_millis = part == "death" ? -1 : argc > 5 ? std::atoi(argv[5]) : 500;
    for (bool forced : {true, false}) {
      failed += PeGroup::launch(ranks, 40, [&](PeGroup& group) {
        return run_death(group, [&](PeSuite& suite) {
          nvshmem_node_death_test(suite, group, wait_millis, forced);
        });
      });
    }
  } else if (what != "death") {
    failed = PeGroup::launch(ranks, kSeconds,
                             [&](PeGroup& group) { return run_all(group, argc, argv); });
  }
  if (ranks > 1 && (what.empty() || what == "faults" || what == "death")) {
    for (bool known : {true, false}) {
      failed += PeGroup::launch(ranks, 40, [&](PeGroup& group) {
        return run_death(group, [&](PeSuite& suite) { nvshmem_death_test(suite, group, known); });
      });
    }
  }
  std::printf("%d PEs failed\n", failed);
  return failed == 0 ? 0 : 1;
}
