// Which messages of other nodes a warp handles.
#pragma once

#include "layout/internode_state.hpp"

namespace ep4j {

// A warp's share of what comes from other nodes, or goes back there: the messages first,
// first + step, ... of a source.
struct SourceShare {
  int remote;  // place of the source's node in tables
  int node;
  int source;  // rank
  int first;
  int step;

  // Worker w of W; W is at least the number of other nodes.
  __device__ SourceShare(const InternodeView& nodes, int worker, int workers) {
    const Topology& topology = nodes.topology();
    const int remotes = topology.remotes();
    remote = worker % remotes;
    node = Topology::node_of_remote(remote, nodes.node());
    source = topology.proxy(nodes.rank.rank, node);
    first = worker / remotes;
    step = (workers - remote + remotes - 1) / remotes;
  }
};

}  // namespace ep4j
