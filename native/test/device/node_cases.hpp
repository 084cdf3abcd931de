// Cases of several nodes.
#pragma once

#include "oracle.hpp"

namespace ep4j::test {

struct Nodes {
  int nodes;
  int ranks_per_node;
};

// A small case.
Case across(const Nodes& nodes);

// A round-trip case over a network: two of three let rows overtake each other, and hold back rows
// that find no place at the other end.
Case over_network(Case c, uint64_t seed);

// Seeded sizes that nothing divides evenly, now and then without tokens on a whole node.
Case awkward_across(const Nodes& nodes, uint64_t seed);

}  // namespace ep4j::test
