// Normal mode across nodes over NVSHMEM, ranks being processes: those of other nodes written to as
// over a network, or within reach, where the loopback carries rows. Every row against the oracle of
// two levels, the bytes over the network against the routing.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <thread>

#include "node_cases.hpp"
#include "nvshmem_test.hpp"
#include "suites.hpp"

namespace ep4j::test {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kScratchBytes = size_t{96} << 20;

const char* name_of(bool forced) { return forced ? "over a network: " : "within reach: "; }

uint32_t ranks_of(const Case& c, int node) {
  return ((uint32_t{1} << c.ranks_per_node) - 1) << node * c.ranks_per_node;
}

// A test that has ranks of its own for the case.
void run_case(PeSuite& suite, PeGroup& group, const std::string& name, const Case& c, bool forced,
              const std::function<void(Ranks&)>& body, bool mask_on_timeout = false) {
  suite.run(name_of(forced) + name + c.describe(), [&] {
    PeWorld world(group, c, nullptr, {forced, mask_on_timeout, kScratchBytes});
    uint32_t reached = 0;
    ok(ep4j_nvshmem_reached(world.end().buffer, &reached), "asking for reach");
    const uint32_t near = ranks_of(c, c.node_of(group.rank()));
    expect(reached == (forced ? near : (uint32_t{1} << c.ranks) - 1), "reached ", reached);
    body(world);
  });
}

void round_trip_case(PeSuite& suite, PeGroup& group, Case c, bool forced) {
  run_case(suite, group, c.arena ? "round trip in an arena: " : "round trip: ", c, forced,
           [&](Ranks& ranks) { round_trips(ranks, c); });
}

Nodes nodes_of(const PeGroup& group, int ranks_per_node) {
  return {group.ranks() / ranks_per_node, ranks_per_node};
}

void forms(PeSuite& suite, PeGroup& group, const Nodes& nodes, uint64_t seed) {
  for (bool forced : {true, false}) {
    for (Case c : variants_of(across(nodes))) {
      seed++;
      c.arena = seed % 4 == 0;
      c.seed = seed;
      round_trip_case(suite, group, over_network(c, seed), forced);
    }
  }
}

// A whole node without tokens is in every fifth.
void sizes(PeSuite& suite, PeGroup& group, const Nodes& nodes, int count, uint64_t seed) {
  for (int i = 0; i < count; i++) {
    round_trip_case(suite, group, awkward_across(nodes, seed / 5 * 5 + static_cast<uint64_t>(i)),
                    i % 4 != 3);
  }
}

Case soak_case(const Nodes& nodes, uint64_t seed) {
  Case c = across(nodes);
  c.hidden = 512;
  c.tokens.assign(static_cast<size_t>(c.ranks), 24);
  c.tokens[0] = 7;
  c.staging_rows = 4;
  c.fabric_seed = 77;
  c.seed = seed;
  return c;
}

Case graph_case(const Nodes& nodes, uint64_t seed) {
  Case c = across(nodes);
  c.hidden = 264;
  c.bounded = true;
  c.staging_rows = 5;
  c.seed = seed;
  return c;
}

Case fault_case(const Nodes& nodes) {
  Case c = across(nodes);
  c.hidden = 64;
  for (int rank = 0; rank < c.ranks; rank++) {
    c.tokens[static_cast<size_t>(rank)] = 4 + rank;
  }
  return c;
}

// Rank 0 closes as soon as it has all it waits for, when what it put may still be under way: the
// others get it all the same.
void close_early(Ranks& ranks, const Case& c) {
  const std::vector<RankInput> inputs = make_inputs(c, 0);
  std::vector<CombineInput> y;
  for (int rank = 0; rank < c.ranks; rank++) {
    y.push_back(make_combine_input(c, rank, expected_dispatch(c, inputs, rank).num_received, 0));
  }
  ranks.run([&](RankEnd& end) {
    const size_t rank = static_cast<size_t>(end.rank);
    const size_t elements = static_cast<size_t>(c.tokens[rank]) * static_cast<size_t>(c.hidden);
    const DeviceInput input = upload_input(end, c, inputs[rank]);
    ep4j_combine_call combine = {};
    combine.struct_size = sizeof combine;
    combine.y = end.upload(y[rank].y);
    combine.hidden = c.hidden;
    combine.timeout_nanos = kTimeoutNanos;
    combine.receive_follows = end.rank % 2;
    ep4j_combine_receive_call receive = {};
    receive.struct_size = sizeof receive;
    receive.out = end.upload(std::vector<uint16_t>(elements, 0x7FC1));
    receive.hidden = c.hidden;
    receive.timeout_nanos = kTimeoutNanos;
    issue(end, dispatch_call(c, end.rank, input, 0, 0, 1));
    std::vector<int32_t> per_expert;
    combine.rows = await_counts(end, c, 1, per_expert).num_received;
    ok(ep4j_combine(end.buffer, &combine, end.stream), "combine");
    ok(ep4j_combine_receive(end.buffer, &receive, end.stream), "combine receive");
    end.sync();
    end.expect_no_fault();
    if (end.rank == 0) {
      ok(ep4j_buffer_disconnect(end.buffer), "disconnecting");
    }
    Combined got;
    got.out = end.download<uint16_t>(receive.out, elements);
    expect_same(c, got, expected_combine(c, inputs, y, end.rank, false), false);
  });
}

// One dispatch, of which the survivors see what is left without the last rank.
void dispatch_without(RankEnd& end, const Case& c, const DeviceInput& input,
                      const std::vector<RankInput>& seen, uint64_t ticket) {
  ep4j_dispatch_call call = dispatch_call(c, end.rank, input, 0, 0, ticket);
  call.timeout_nanos = kShortNanos;
  const ep4j_dispatch_result result = issue(end, call);
  std::vector<int32_t> per_expert;
  const ep4j_counts counts = await_counts(end, c, ticket, per_expert);
  expect_same(c, read_result(end, c, result, counts.num_received, true),
              expected_dispatch(c, seen, end.rank), true);
  ok(ep4j_region_release(end.buffer, 0, end.stream), "releasing");
  end.expect_no_fault();
}

// After the death of a rank that had been waited for in a kernel the device may have taken this
// process's context along: told apart from what calls do wrong.
void expect_context(RankEnd& end, const char* when) {
  try {
    end.download<uint8_t>(end.scratch.take(16), 16);
  } catch (const std::exception& error) {
    throw CheckFailed(join("the context is lost ", when, ": ", error.what()));
  }
}

void go_on_without(RankEnd& end, const Case& c, const DeviceInput& input, int killed, bool waiting) {
  const std::vector<RankInput> seen = without(c, make_inputs(c, 0), killed);
  if (waiting) {
    expect_context(end, "by the death");
    // It has announced its counts, so it is awaited later, as a source whose rows do not come.
    ep4j_dispatch_call call = dispatch_call(c, end.rank, input, 0, 0, 2);
    call.timeout_nanos = kShortNanos;
    issue(end, call);
    expect_context(end, "by the first call after the death");
    uint32_t masked_ranks = 0;
    ok(ep4j_masked(end.buffer, &masked_ranks), "masked");
    expect(masked_ranks == 1u << killed, "masked ranks ", masked_ranks);
    ok(ep4j_region_release(end.buffer, 0, end.stream), "releasing");
  }
  ok(ep4j_forget(end.buffer, killed), "telling that it has ended");
  expect_context(end, "by the masking");
  dispatch_without(end, c, input, seen, 3);
  dispatch_without(end, c, input, seen, 4);
}

// After a round of all ranks the last one is killed; the others mask it at the deadline, go on, and
// close.
void killed_rank(PeGroup& group, int wait_millis, bool forced) {
  const Case c = fault_case({group.ranks(), 1});
  const int killed = group.ranks() - 1;
  const std::vector<RankInput> inputs = make_inputs(c, 0);
  PeWorld world(group, c, nullptr, {forced, true, kScratchBytes});
  RankEnd& end = world.end();
  const DeviceInput input = upload_input(end, c, inputs[static_cast<size_t>(end.rank)]);
  issue(end, dispatch_call(c, end.rank, input, 0, 0, 1));
  ok(ep4j_region_release(end.buffer, 0, end.stream), "releasing");
  end.sync();
  group.meet();
  if (end.rank == killed) {
    if (wait_millis >= 0) {
      issue(end, dispatch_call(c, end.rank, input, 0, 0, 2));
      std::this_thread::sleep_for(std::chrono::milliseconds(wait_millis));
    }
    group.expire();
  }
  group.await_end_of(killed);
  try {
    go_on_without(end, c, input, killed, wait_millis >= 0);
    const auto begin = Clock::now();
    world.close(true);
    const double took = std::chrono::duration<double>(Clock::now() - begin).count();
    expect(took < 8, "closing took ", took, " s");
  } catch (const std::exception& error) {
    std::printf("PE %d: %s\n", end.rank, error.what());
    std::fflush(stdout);
    std::_Exit(1);  // what NVSHMEM does at an exit would end otherwise, or never
  }
}

}  // namespace

void nvshmem_node_tests(PeSuite& suite, PeGroup& group, int ranks_per_node, int rounds,
                        uint64_t seed) {
  const Nodes nodes = nodes_of(group, ranks_per_node);
  forms(suite, group, nodes, seed);
  sizes(suite, group, nodes, 10 + rounds / 20, seed);
  for (bool forced : {true, false}) {
    for (int order : {EP4J_RANK_MAJOR, EP4J_EXPERT_MAJOR}) {
      Case graph = graph_case(nodes, seed);
      graph.order = order;
      run_case(suite, group, "20 replays of a graph, ", graph, forced,
               [&](Ranks& ranks) { replay(ranks, graph, 20); });
      Case c = soak_case(nodes, seed);
      c.order = order;
      run_case(suite, group, join(rounds, " short rounds with delays, "), c, forced,
               [&](Ranks& ranks) { soak(ranks, c, rounds); });
    }
  }
}

void nvshmem_node_quick_tests(PeSuite& suite, PeGroup& group, int ranks_per_node) {
  const Nodes nodes = nodes_of(group, ranks_per_node);
  Case c = over_network(across(nodes), 2);  // places for few messages
  round_trip_case(suite, group, c, true);
  c.order = EP4J_EXPERT_MAJOR;
  c.biases = 2;
  c.bounded = true;
  round_trip_case(suite, group, c, true);
  c.arena = true;
  round_trip_case(suite, group, c, false);
  const Case rounds = soak_case(nodes, 1);
  run_case(suite, group, "20 short rounds with delays, ", rounds, true,
           [&](Ranks& ranks) { soak(ranks, rounds, 20); });
}

void nvshmem_node_fault_tests(PeSuite& suite, PeGroup& group, int ranks_per_node) {
  const Case c = fault_case(nodes_of(group, ranks_per_node));
  for (bool forced : {true, false}) {
    run_case(suite, group, "a silent rank is named, ", c, forced,
             [&](Ranks& ranks) { silent_rank(ranks, c); });
    for (bool bounded : {false, true}) {
      Case limited = c;
      limited.bounded = bounded;
      run_case(suite, group, "one row over capacity, ", limited, forced,
               [&](Ranks& ranks) { overflow(ranks, limited, bounded); });
    }
    run_case(suite, group, "an index out of range is refused, ", c, forced,
             [&](Ranks& ranks) { refused(ranks, c, c.experts, EP4J_ROUTING_OUT_OF_RANGE); });
    for (uint64_t seed = 1; seed <= 3; seed++) {
      Case closing = c;
      closing.tokens.assign(static_cast<size_t>(c.ranks), 30);
      closing.seed = seed;
      run_case(suite, group, "a rank closes at once, ", closing, forced,
               [&](Ranks& ranks) { close_early(ranks, closing); });
    }
    for (bool by_host : {true, false}) {
      if (ranks_per_node == 1) {
        run_case(suite, group, join("ranks go on without a node, masked by host ", by_host, ", "), c,
                 forced, [&](Ranks& ranks) { masked(ranks, c, by_host); }, !by_host);
      }
    }
  }
}

void nvshmem_node_death_test(PeSuite& suite, PeGroup& group, int wait_millis, bool forced) {
  suite.run(join(name_of(forced), "a node of one rank is killed ",
                 wait_millis < 0 ? "between calls" : join(wait_millis, " ms into a call")),
            [&] { killed_rank(group, wait_millis, forced); });
}

}  // namespace ep4j::test
