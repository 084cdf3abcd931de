#include "node_cases.hpp"

#include "suites.hpp"

namespace ep4j::test {

Case across(const Nodes& nodes) {
  Case c;
  c.ranks = nodes.nodes * nodes.ranks_per_node;
  c.ranks_per_node = nodes.ranks_per_node;
  c.experts = 2 * c.ranks;
  c.topk = 3;
  c.hidden = 8;
  for (int rank = 0; rank < c.ranks; rank++) {
    c.tokens.push_back(rank % 3 == 1 ? 0 : 3 + 2 * rank);
  }
  return c;
}

Case over_network(Case c, uint64_t seed) {
  c.fabric_seed = seed % 3 == 0 ? 0 : seed + 1;
  c.staging_rows = static_cast<int>(seed % 3 == 2 ? 1 + seed % 5 : 0);
  return c;
}

Case awkward_across(const Nodes& nodes, uint64_t seed) {
  Case c = awkward(seed, nodes.nodes * nodes.ranks_per_node);
  c.ranks_per_node = nodes.ranks_per_node;
  if (seed % 5 == 0) {  // a whole node has no tokens
    for (int rank = 0; rank < c.ranks_per_node; rank++) {
      c.tokens[static_cast<size_t>(rank)] = 0;
    }
  }
  return over_network(c, seed);
}

}  // namespace ep4j::test
