#include "check.hpp"

namespace ep4j::test {
void budget_tests(Suite& suite);
void internode_layout_tests(Suite& suite);
void layout_tests(Suite& suite);
void low_latency_tests(Suite& suite);
void numeric_tests(Suite& suite);
void sharing_tests(Suite& suite);
}  // namespace ep4j::test

int main() {
  ep4j::test::Suite suite;
  ep4j::test::layout_tests(suite);
  ep4j::test::internode_layout_tests(suite);
  ep4j::test::low_latency_tests(suite);
  ep4j::test::budget_tests(suite);
  ep4j::test::numeric_tests(suite);
  ep4j::test::sharing_tests(suite);
  return suite.finish();
}
