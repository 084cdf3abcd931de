// Layouts and budgets of several nodes: fields lie one after the other and end at bytes().
#include <algorithm>
#include <set>
#include <vector>

#include "check.hpp"
#include "launch/internode_budget.hpp"
#include "layout/internode_state.hpp"
#include "layout/window_layout.hpp"

namespace ep4j::test {
namespace {

struct Field {
  int64_t begin;
  int64_t bytes;
};

// No overlaps, and no gap that is not alignment to a line.
void expect_cover(std::vector<Field> fields, int64_t total) {
  std::sort(fields.begin(), fields.end(),
            [](const Field& a, const Field& b) { return a.begin < b.begin; });
  int64_t end = 0;
  for (const Field& field : fields) {
    expect(field.begin >= end, "a field at ", field.begin, " overlaps what ends at ", end);
    expect(field.begin - end < kLineBytes, "a gap of ", field.begin - end, " bytes at ", end);
    end = field.begin + field.bytes;
  }
  expect(end <= total && total - end < kLineBytes, "fields end at ", end, ", bytes() is ", total);
}

void window_part(const Topology& topology, int max_tokens, int staging, bool has_network) {
  const InternodeLayout layout = {topology, max_tokens, staging, 528, 5, 2, has_network};
  std::vector<Field> fields;
  for (int remote = 0; remote < topology.remotes(); remote++) {
    fields.push_back({layout.signal(remote, 0), 8 * int64_t{staging}});
    fields.push_back({layout.credit(remote, 0), 8 * int64_t{staging}});
    fields.push_back({layout.dropped(remote), kLineBytes});
    for (int i = 0; i < staging; i++) {
      fields.push_back({layout.incoming(remote, i), layout.message_bytes()});
    }
    for (int i = 0; i < max_tokens; i++) {
      fields.push_back({layout.outgoing(remote, i), layout.message_bytes()});
    }
    for (int output = 0; output < 2; output++) {
      fields.push_back({layout.returned(output, remote, 0), 8 * int64_t{max_tokens}});
      for (int i = 0; i < max_tokens; i++) {
        fields.push_back({layout.sum(output, remote, i), layout.sum_bytes()});
        if (has_network) {
          fields.push_back({layout.outgoing_sum(output, remote, i), layout.sum_bytes()});
        }
      }
    }
  }
  expect_cover(fields, layout.bytes());
  expect(layout.incoming(0, 0) == layout.control_bytes(), "tags end where messages begin");
}

void private_part(const Topology& topology, int max_tokens, int topk) {
  const NodeHandleLayout handle = {topology, max_tokens, topk};
  const int64_t messages = int64_t{topology.remotes()} * max_tokens;
  const int64_t nodes = 4 * int64_t{topology.num_nodes()};
  expect_cover({{handle.messages(), nodes * max_tokens},
                {handle.forwarded(), nodes},
                {handle.returning(), nodes},
                {handle.rows(), 4 * messages * handle.fanout()},
                {handle.ranks(), 4 * messages * handle.fanout()},
                {handle.weights(), 4 * messages * topk}},
               handle.bytes());
  const InternodeStateLayout state = {handle, 3};
  expect_cover({{state.state(), static_cast<int64_t>(sizeof(InternodeState))},
                {state.puts(), static_cast<int64_t>(sizeof(PutSlot)) * kFabricSlots},
                {state.handle(0), handle.bytes()},
                {state.handle(1), handle.bytes()},
                {state.handle(2), handle.bytes()}},
               state.bytes());
}

void message(int row_bytes, int scale_words) {
  const NodeMessage layout = {row_bytes, scale_words};
  expect_cover({{NodeMessage::token(), 4},
                {NodeMessage::rows(), 4 * kWarpLanes},
                {NodeMessage::experts(), 4 * kWarpLanes},
                {NodeMessage::weights(), 4 * kWarpLanes},
                {layout.scales(), 4 * int64_t{scale_words}},
                {layout.x(), row_bytes}},
               layout.bytes());
  expect(layout.bytes() % 16 == 0, "the fabric moves vectors of 16 bytes: ", layout.bytes());
}

// Each rank of another node is stood for once, by a rank of the same number; tables per other node
// have each of them once.
void topology(const Topology& t) {
  uint32_t all = 0;
  for (int node = 0; node < t.num_nodes(); node++) {
    expect((all & t.ranks_of(node)) == 0, "nodes share ranks");
    all |= t.ranks_of(node);
    std::set<int> remotes;
    for (int other = 0; other < t.num_nodes(); other++) {
      if (other != node) {
        const int remote = Topology::remote_of(other, node);
        expect(Topology::node_of_remote(remote, node) == other, "remote ", remote);
        remotes.insert(remote);
      }
    }
    expect(static_cast<int>(remotes.size()) == t.remotes() && *remotes.rbegin() < t.remotes(),
           "tables of node ", node);
    for (int rank = 0; rank < t.num_ranks; rank++) {
      const int proxy = t.proxy(rank, node);
      expect(t.node_of(proxy) == node && t.proxy(proxy, t.node_of(rank)) == rank, "proxy ", proxy);
    }
  }
  expect(all == 0xFFFFFFFFu >> (kWarpLanes - t.num_ranks), "all ranks are on a node");
}

void budget() {
  const InternodeBlocks four({8, 2}, 132, 8);
  expect(four.least == 1 && four.most == 16, "blocks ", four.least, " to ", four.most);
  expect(four.allows(0) && four.allows(16) && !four.allows(17), "what 4 x 2 allows");
  expect(four.of(0, 24) == 16 && four.of(5, 24) == 5, "defaults");
  const InternodeBlocks many({32, 1}, 132, 32);
  expect(many.least * std::min(kLeastForwarders, kReducerWarps) >= 31 && many.most == 4,
         "a warp for each source: ", many.least);
}

}  // namespace

void internode_layout_tests(Suite& suite) {
  for (const Topology& t :
       {Topology{4, 2}, Topology{8, 4}, Topology{8, 2}, Topology{6, 2}, Topology{2, 1},
        Topology{32, 1}, Topology{32, 16}}) {
    const std::string name = join(t.num_nodes(), " nodes of ", t.ranks_per_node);
    suite.run("topology: " + name, [=] { topology(t); });
    suite.run("internode layouts cover their bytes: " + name, [=] {
      for (bool has_network : {false, true}) {
        window_part(t, 1, 1, has_network);
        window_part(t, 37, 5, has_network);
        window_part(t, 20, 20, has_network);
      }
      private_part(t, 37, 3);
      private_part(t, 1, 32);
    });
  }
  suite.run("messages between nodes cover their bytes", [] {
    message(16, 0);
    message(528, 70);
    message(14336, 0);
  });
  suite.run("message tags grow with epoch and message", [] {
    expect(MessageTag::word(7, 0) > MessageTag::word(6, MessageTag::kMostMessages - 1), "epochs");
    expect(MessageTag::word(7, 1) > MessageTag::word(7, 0), "messages");
    expect(MessageTag::epoch(MessageTag::word(1234567, 4095)) == 1234567, "epoch of a tag");
  });
  suite.run("blocks of a call across nodes are all resident, and enough", [] { budget(); });
  suite.run("a window has room for other nodes before its regions", [] {
    WindowLayout layout = {{3, 5, 2, 4}, 1000, 500, 0, 300, false, 777};
    expect(layout.internode() == layout.low_latency() + lines(300), "behind low latency");
    expect(layout.region(0) == layout.internode() + lines(777), "before the regions");
  });
}

}  // namespace ep4j::test
