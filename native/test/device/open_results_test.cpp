// Two dispatches open at once, received in different orders on different ranks: no deadlock and no
// lost row, with every form of waiting on the host.
#include <chrono>
#include <thread>

#include "world.hpp"

namespace ep4j::test {
namespace {

struct OpenRounds {
  Case c;
  std::vector<std::vector<RankInput>> inputs;   // [routing][rank]
  std::vector<std::vector<Received>> received;  // [routing][rank]
};

OpenRounds make_rounds(const Case& c, uint64_t routings) {
  OpenRounds rounds = {c, {}, {}};
  for (uint64_t routing = 0; routing < routings; routing++) {
    rounds.inputs.push_back(make_inputs(c, routing));
    rounds.received.emplace_back();
    for (int rank = 0; rank < c.ranks; rank++) {
      rounds.received.back().push_back(expected_dispatch(c, rounds.inputs.back(), rank));
    }
  }
  return rounds;
}

void pause(int rank, int round) {
  uint64_t draw = mix(5, static_cast<uint64_t>(rank), static_cast<uint64_t>(round));
  if (draw % 4 == 0) {
    std::this_thread::sleep_for(std::chrono::microseconds(draw / 4 % 300));
  }
}

// Send 1, send 2, receive 2 and 1 or 1 and 2, whichever a rank likes; then both are read.
void two_open(const Case& c, int pairs) {
  constexpr size_t kRoutings = 8;
  OpenRounds rounds = make_rounds(c, kRoutings);
  World world(c);
  world.run([&](RankEnd& end) {
    const size_t rank = static_cast<size_t>(end.rank);
    std::vector<DeviceInput> inputs;
    for (size_t routing = 0; routing < kRoutings; routing++) {
      inputs.push_back(upload_input(end, c, rounds.inputs[routing][rank]));
    }
    for (int pair = 0; pair < pairs; pair++) {
      ep4j_dispatch_result results[2] = {};
      size_t routings[2];
      for (int i : {0, 1}) {
        pause(end.rank, 4 * pair + i);
        const uint64_t round = 2 * static_cast<uint64_t>(pair) + static_cast<uint64_t>(i);
        routings[i] = mix(3, round) % kRoutings;
        ep4j_dispatch_call call =
            dispatch_call(c, end.rank, inputs[routings[i]], i, i, round + 1);
        results[i].struct_size = sizeof results[i];
        ok(ep4j_dispatch(end.buffer, &call, &results[i], end.stream), "dispatch");
        if (!c.bounded) {
          std::vector<int32_t> per_expert;
          ep4j_counts counts = await_counts(end, c, round + 1, per_expert);
          expect(counts.verdict == EP4J_SENT, "verdict ", counts.verdict);
        }
      }
      pause(end.rank, 4 * pair + 2);
      const int first = (end.rank + pair) % 2;
      for (int region : {first, 1 - first}) {
        ok(ep4j_dispatch_receive(end.buffer, region, kTimeoutNanos, end.stream), "receive");
        pause(end.rank, 4 * pair + 3);
      }
      for (int i : {1 - first, first}) {
        const Received& want = rounds.received[routings[i]][rank];
        expect(end.download<int32_t>(results[i].num_received, 1)[0] == want.num_received,
               "rank ", rank, ", pair ", pair, ": not ", want.num_received, " rows");
        expect_same(c, read_result(end, c, results[i], want.num_received, true), want, true);
        ok(ep4j_region_release(end.buffer, i, end.stream), "releasing");
      }
    }
    end.expect_no_fault();
  });
}

// A receive that was issued after its rank gave up leaves its result withheld; one before does not.
void withheld() {
  const Case c = three_ranks();
  World world(c);
  std::vector<RankInput> inputs = make_inputs(c, 0);
  world.run([&](RankEnd& end) {
    DeviceInput input = upload_input(end, c, inputs[static_cast<size_t>(end.rank)]);
    ep4j_host_words words = {};
    words.struct_size = sizeof words;
    ok(ep4j_buffer_words(end.buffer, &words), "reading the words' addresses");
    issue(end, dispatch_call(c, end.rank, input, 0, 0, 1));
    ep4j_dispatch_call open = dispatch_call(c, end.rank, input, 1, 1, 2);
    ep4j_dispatch_result result = {};
    result.struct_size = sizeof result;
    ok(ep4j_dispatch(end.buffer, &open, &result, end.stream), "the dispatch that stays open");
    end.sync();
    expect(*words.fault == 0 && *words.undelivered == UINT64_MAX, "something is withheld");
    ok(ep4j_region_release(end.buffer, 0, end.stream), "releasing");
    if (end.rank == 2) {
      return;
    }
    ep4j_dispatch_call call = dispatch_call(c, end.rank, input, 0, 2, 3);
    call.timeout_nanos = kShortNanos;
    issue(end, call);
    end.sync();
    expect(*words.fault != 0 && *words.undelivered == 3, "withheld from call ",
           *words.undelivered);
    ok(ep4j_dispatch_receive(end.buffer, 1, kTimeoutNanos, end.stream), "the late receive");
    end.sync();
    expect(*words.undelivered == 2, "withheld from call ", *words.undelivered);
    const ep4j_error_record record = end.fault();
    expect(record.peer == 2 && (record.fault == EP4J_FAULT_TIMEOUT ||
                                record.fault == EP4J_FAULT_PEER_FAILED),
           "fault ", record.fault, ", peer ", record.peer);
  });
}

}  // namespace

void open_results_tests(Suite& suite) {
  for (int ranks : {2, 3, 8}) {
    for (bool bounded : {false, true}) {
      Case c;
      c.ranks = ranks;
      c.experts = 2 * ranks;
      c.topk = 2;
      c.hidden = 56;
      c.tokens.assign(static_cast<size_t>(ranks), 13);
      c.tokens[0] = 0;
      c.bounded = bounded;
      c.order = ranks == 3 ? EP4J_EXPERT_MAJOR : EP4J_RANK_MAJOR;
      suite.run(join("open results: two dispatches received in any order, ", c.describe()),
                [=] { two_open(c, 150); });
    }
  }
  suite.run("open results: what is not whole is withheld", withheld);
}

}  // namespace ep4j::test
