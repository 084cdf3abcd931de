// How ranks share nodes: each node has the next ranks_per_node of them. A node is a load/store
// domain; between nodes rows travel over a network.
#pragma once

#include "layout/limits.hpp"

namespace ep4j {

struct Topology {
  int32_t num_ranks;
  int32_t ranks_per_node;  // a divisor of num_ranks

  EP4J_HOST_DEVICE constexpr int num_nodes() const { return num_ranks / ranks_per_node; }
  EP4J_HOST_DEVICE constexpr int remotes() const { return num_nodes() - 1; }
  EP4J_HOST_DEVICE constexpr int node_of(int rank) const { return rank / ranks_per_node; }
  EP4J_HOST_DEVICE constexpr int first_rank(int node) const { return node * ranks_per_node; }

  // The rank that stands for another one on a node: the same local rank there. What the other one
  // sends to the node goes through it, and what comes back too.
  EP4J_HOST_DEVICE constexpr int proxy(int rank, int node) const {
    return first_rank(node) + rank % ranks_per_node;
  }

  // Bit r: rank r is on the node.
  EP4J_HOST_DEVICE constexpr uint32_t ranks_of(int node) const {
    return (0xFFFFFFFFu >> (kWarpLanes - ranks_per_node)) << first_rank(node);
  }

  // Tables per other node leave the own one out: a node's place in a table of one on `own`.
  EP4J_HOST_DEVICE static constexpr int remote_of(int node, int own) {
    return node < own ? node : node - 1;
  }
  EP4J_HOST_DEVICE static constexpr int node_of_remote(int remote, int own) {
    return remote < own ? remote : remote + 1;
  }
};

}  // namespace ep4j
