#include <cstdlib>
#include <string>

#include "check.hpp"
#include "world.hpp"

namespace ep4j::test {
void internode_tests(Suite& suite, const std::string& part, int count);
}

// No argument: everything. "faults", "forms", "sizes N", "soak N": a part of it, with N seeds or
// rounds; "quick": a few cases.
int main(int argc, char** argv) {
  using namespace ep4j::test;
  if (!print_device()) {
    return 1;
  }
  Suite suite;
  internode_tests(suite, argc > 1 ? argv[1] : "", argc > 2 ? std::atoi(argv[2]) : 0);
  return suite.finish();
}
