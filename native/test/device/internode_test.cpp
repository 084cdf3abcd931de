// Several nodes, simulated on one device: normal mode in all forms against the oracle of two levels,
// over a network that lets rows overtake each other.
#include "node_cases.hpp"
#include "suites.hpp"

namespace ep4j::test {
namespace {

constexpr Nodes kTopologies[] = {{2, 2}, {2, 4}, {4, 2}, {3, 2}, {2, 1}, {4, 1}};

void forms(Suite& suite) {
  uint64_t seed = 0;
  for (const Nodes& nodes : kTopologies) {
    for (const Case& c : variants_of(across(nodes))) {
      run_round_trips(suite, over_network(c, ++seed), {EP4J_COPY_AUTO});
    }
  }
}

// As few cases as have every role at work, of one node too: for a simulated device.
void quick(Suite& suite) {
  uint64_t seed = 1;
  for (const Nodes& nodes : {Nodes{2, 2}, Nodes{3, 1}}) {
    Case c = across(nodes);
    run_round_trips(suite, over_network(c, ++seed), {EP4J_COPY_AUTO});
    c.order = EP4J_EXPERT_MAJOR;
    c.biases = 2;
    c.bounded = true;
    run_round_trips(suite, over_network(c, ++seed), {EP4J_COPY_AUTO});
  }
  for (const Case& c : crowded()) {
    run_round_trips(suite, c, {EP4J_COPY_AUTO, EP4J_COPY_LOAD_STORE});
  }
}

void sizes(Suite& suite, uint64_t seeds) {
  for (uint64_t seed = 1; seed <= seeds; seed++) {
    const Nodes& nodes = kTopologies[seed % std::size(kTopologies)];
    run_round_trips(suite, awkward_across(nodes, 1000 + seed), {EP4J_COPY_AUTO});
  }
  Case widest = across({8, 2});  // the most choices, many nodes
  widest.experts = 64;
  widest.topk = 32;
  widest.num_sms = 2;
  widest.tokens.assign(16, 6);
  run_round_trips(suite, over_network(widest, 1), {EP4J_COPY_AUTO});
  widest.order = EP4J_EXPERT_MAJOR;
  run_round_trips(suite, over_network(widest, 2), {EP4J_COPY_AUTO});
}

// Every launch draws another order.
void short_rounds(Suite& suite, int rounds) {
  for (const Nodes& nodes : {Nodes{2, 2}, Nodes{2, 4}, Nodes{4, 2}, Nodes{3, 2}}) {
    Case c = across(nodes);
    c.hidden = 512;
    c.tokens.assign(static_cast<size_t>(c.ranks), 24);
    c.tokens[0] = 7;
    c.staging_rows = 4;
    c.fabric_seed = 77;
    suite.run(join("soak: ", rounds, " short rounds with delays, ", c.describe()),
              [=] { soak(c, rounds); });
  }
}

void graphs(Suite& suite) {
  for (int order : {EP4J_RANK_MAJOR, EP4J_EXPERT_MAJOR}) {
    Case c = across({2, 2});
    c.hidden = 264;
    c.tokens = {19, 8, 0, 30};
    c.order = order;
    c.bounded = true;
    c.staging_rows = 5;
    c.fabric_seed = 3;
    suite.run("graph: 40 replays with changed routing, " + c.describe(), [=] { replay(c, 40); });
  }
}

void faults(Suite& suite) {
  Case c = across({2, 2});
  c.hidden = 64;
  c.tokens = {5, 9, 7, 4};
  suite.run("fault: a silent rank of another node is named", [=] { silent_rank(c); });
  for (bool bounded : {false, true}) {
    suite.run(join("fault: one row over capacity, bounded ", bounded),
              [=] { overflow(c, bounded); });
  }
  suite.run("fault: an index out of range is refused on all nodes",
            [=] { refused(c, c.experts, EP4J_ROUTING_OUT_OF_RANGE); });
  Case single = across({3, 1});
  single.hidden = 64;
  single.tokens = {5, 9, 7};
  for (bool by_host : {true, false}) {
    suite.run(join("fault: ranks go on without a node that was masked, by host ", by_host),
              [=] { masked(single, by_host); });
  }
}

// Rules that the host can see.
void refusals(Suite& suite) {
  suite.run("refusals: what does not fit several nodes is refused by name", [] {
    ep4j_buffer_config config = {};
    config.struct_size = sizeof config;
    config.num_ranks = 6;
    config.num_experts = 6;
    config.max_tokens = 10;
    config.max_topk = 1;
    config.max_row_bytes = 16;
    config.num_regions = 1;
    config.num_outputs = 1;
    config.max_handles = 1;
    ep4j_internode_config good = {};
    good.struct_size = sizeof good;
    good.ranks_per_node = 2;
    auto refuse = [&](auto change, const char* word) {
      ep4j_internode_config internode = good;
      change(internode);
      int64_t window = 0;
      int64_t own = 0;
      expect(ep4j_internode_bytes(&config, &internode, &window, &own) == EP4J_INVALID_ARGUMENT,
             "accepted: ", word);
      expect(std::string(ep4j_last_error()).find(word) != std::string::npos, "the text '",
             ep4j_last_error(), "' does not name ", word);
    };
    int64_t window = 0;
    int64_t own = 0;
    ok(ep4j_internode_bytes(&config, &good, &window, &own), "sizing");
    expect(window > 0 && own > 0, "bytes ", window, ", ", own);
    refuse([](auto& c) { c.ranks_per_node = 4; }, "ranks_per_node");
    refuse([](auto& c) { c.ranks_per_node = 6; }, "ranks_per_node");
    refuse([](auto& c) { c.staging_rows = 11; }, "staging_rows");
    refuse([](auto& c) { c.max_scale_words = -1; }, "max_scale_words");
  });
}

}  // namespace

void internode_tests(Suite& suite, const std::string& part, int count) {
  auto wants = [&](const char* name) { return part.empty() || part == name; };
  if (wants("faults")) {
    refusals(suite);
    faults(suite);
    graphs(suite);
  }
  if (part == "quick") {
    refusals(suite);
    quick(suite);
  }
  if (wants("forms")) {
    forms(suite);
  }
  if (wants("sizes")) {
    sizes(suite, static_cast<uint64_t>(count > 0 ? count : 60));
  }
  if (wants("soak")) {
    short_rounds(suite, count > 0 ? count : 300);
  }
}

}  // namespace ep4j::test
