// A rank's private memory of normal mode across nodes: what one kernel leaves for the next, the
// fabric's queue, and what handles keep beside HandleLayout.
//
//   state    InternodeState
//   puts     [kFabricSlots] PutSlot
//   handles  [max_handles] NodeHandleLayout
#pragma once

#include "layout/fabric_layout.hpp"
#include "layout/handle_layout.hpp"
#include "layout/internode_layout.hpp"
#include "layout/rank_view.hpp"

namespace ep4j {

struct InternodeState {
  FabricState fabric;
  uint32_t lost;  // bit n: messages of node n did not all come; of the kernel that runs
  NodeTraffic network[kMaxRanks];
};

// Beside a handle.
//   messages  [max_tokens, nodes] int32  number of the token's message to each node, -1 for none
//   forwarded [nodes] int32  messages that come from each node
//   returning [nodes] int32  of these, sums that go back: all, or none if some were lost
//   rows      [remotes, max_tokens, fanout] int32  of each message: where it went in this node
//   ranks     as rows  which rank that is
//   weights   [remotes, max_tokens, max_topk] float32  expert-major: gate weights
struct NodeHandleLayout {
  Topology topology;
  int max_tokens;
  int max_topk;

  EP4J_HOST_DEVICE constexpr int64_t messages() const { return 0; }
  EP4J_HOST_DEVICE constexpr int64_t forwarded() const {
    return lines(4 * int64_t{max_tokens} * topology.num_nodes());
  }
  EP4J_HOST_DEVICE constexpr int64_t returning() const { return forwarded() + per_node(); }
  EP4J_HOST_DEVICE constexpr int64_t rows() const { return returning() + per_node(); }
  EP4J_HOST_DEVICE constexpr int64_t ranks() const { return rows() + per_place(); }
  EP4J_HOST_DEVICE constexpr int64_t weights() const { return ranks() + per_place(); }
  EP4J_HOST_DEVICE constexpr int64_t bytes() const {
    return weights() + lines(4 * int64_t{topology.remotes()} * max_tokens * max_topk);
  }
  EP4J_HOST_DEVICE constexpr int fanout() const {
    return topology.ranks_per_node > max_topk ? topology.ranks_per_node : max_topk;
  }

 private:
  EP4J_HOST_DEVICE constexpr int64_t per_node() const {
    return lines(4 * int64_t{topology.num_nodes()});
  }
  EP4J_HOST_DEVICE constexpr int64_t per_place() const {
    return lines(4 * int64_t{topology.remotes()} * max_tokens * fanout());
  }
};

// One handle's fields.
struct NodeHandleView {
  NodeHandleLayout layout;
  char* base;

  EP4J_HOST_DEVICE int32_t* message(int64_t token, int node) const {
    return at<int32_t>(layout.messages()) + token * layout.topology.num_nodes() + node;
  }
  EP4J_HOST_DEVICE int32_t* forwarded() const { return at<int32_t>(layout.forwarded()); }
  EP4J_HOST_DEVICE int32_t* returning() const { return at<int32_t>(layout.returning()); }
  EP4J_HOST_DEVICE int32_t* rows(int remote, int64_t message) const {
    return at<int32_t>(layout.rows()) + entry(remote, message) * layout.fanout();
  }
  EP4J_HOST_DEVICE int32_t* ranks(int remote, int64_t message) const {
    return at<int32_t>(layout.ranks()) + entry(remote, message) * layout.fanout();
  }
  EP4J_HOST_DEVICE float* weights(int remote, int64_t message) const {
    return at<float>(layout.weights()) + entry(remote, message) * layout.max_topk;
  }

 private:
  template <class T>
  EP4J_HOST_DEVICE T* at(int64_t offset) const {
    return reinterpret_cast<T*>(base + offset);
  }
  EP4J_HOST_DEVICE int64_t entry(int remote, int64_t message) const {
    return int64_t{remote} * layout.max_tokens + message;
  }
};

struct InternodeStateLayout {
  NodeHandleLayout handle_layout;
  int max_handles;

  EP4J_HOST_DEVICE constexpr int64_t state() const { return 0; }
  EP4J_HOST_DEVICE constexpr int64_t puts() const {
    return lines(static_cast<int64_t>(sizeof(InternodeState)));
  }
  EP4J_HOST_DEVICE constexpr int64_t handle(int index) const {
    return puts() + lines(static_cast<int64_t>(sizeof(PutSlot)) * kFabricSlots) +
           index * handle_layout.bytes();
  }
  EP4J_HOST_DEVICE constexpr int64_t bytes() const { return handle(max_handles); }
};

// What a kernel of several nodes knows about its rank.
struct InternodeView {
  RankView rank;
  InternodeLayout layout;
  int64_t base;  // of the layout in every window
  InternodeState* state;
  PutSlot* puts;
  uint64_t seed;  // of the loopback fabric's order and delays; 0: none

  EP4J_HOST_DEVICE const Topology& topology() const { return layout.topology; }
  EP4J_HOST_DEVICE int node() const { return layout.topology.node_of(rank.rank); }

  template <class T>
  EP4J_HOST_DEVICE T* own(int64_t offset) const {
    return rank.own<T>(base + offset);
  }
};

}  // namespace ep4j
