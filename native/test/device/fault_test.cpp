// What happens when a rank is silent, differs, asks for too much, or is masked. After each fault
// the device still works: the next test makes new buffers in the same process.
#include <algorithm>
#include <chrono>

#include "suites.hpp"

namespace ep4j::test {
namespace {

// Rank 1 had one row too little: every rank hears so, on the host or in the fault record.
void expect_drop(RankEnd& end, const Case& c, const ep4j_dispatch_call& call, int needed,
                 bool bounded) {
  if (bounded) {
    ep4j_error_record record = end.fault();
    expect_fault(record, EP4J_FAULT_OVERFLOW, EP4J_STAGE_GRANT, 1, end.rank);
    expect(record.needed == needed && record.capacity == needed - 1, "needed ", record.needed,
           " of ", record.capacity);
    return;
  }
  std::vector<int32_t> per_expert;
  ep4j_counts counts = await_counts(end, c, call.ticket, per_expert);
  expect(counts.verdict == EP4J_OVERFLOW && counts.origin == 1, "verdict ", counts.verdict,
         ", origin ", counts.origin);
  expect(counts.needed == needed && counts.capacity == needed - 1, "needed ", counts.needed, " of ",
         counts.capacity);
}

int odd_rank(const Case& c) { return std::min(2, c.ranks - 1); }

// Rules that the host can see are refused there, before anything is issued.
void host_refusals() {
  Case c = three_ranks();
  World world(c);
  std::vector<RankInput> inputs = make_inputs(c, 0);
  world.run([&](RankEnd& end) {
    DeviceInput input = upload_input(end, c, inputs[static_cast<size_t>(end.rank)]);
    const ep4j_dispatch_call good = dispatch_call(c, end.rank, input, 0, 0, 1);
    ep4j_dispatch_result result = {};
    result.struct_size = sizeof result;
    auto refuse = [&](auto change, const char* word) {
      ep4j_dispatch_call call = good;
      change(call);
      expect(ep4j_dispatch(end.buffer, &call, &result, end.stream) == EP4J_INVALID_ARGUMENT,
             "accepted: ", word);
      expect(std::string(ep4j_last_error()).find(word) != std::string::npos, "the text '",
             ep4j_last_error(), "' does not name ", word);
    };
    refuse([](auto& call) { call.num_tokens = 1000; }, "num_tokens");
    refuse([](auto& call) { call.hidden = 1; }, "multiple of 16 bytes");
    refuse([](auto& call) { call.num_topk = 33; }, "num_topk");
    refuse([](auto& call) { call.capacity_rows = 1 << 30; }, "capacity_rows");
    refuse([](auto& call) { call.region = 2; }, "region");
    refuse([](auto& call) { call.num_sms = 100000; }, "num_sms");
    refuse([](auto& call) { call.ticket = 0; }, "ticket");
    refuse([](auto& call) { call.topk_idx = nullptr, call.num_topk = 0, call.handle = 1; },
           "handle");
    expect(ep4j_dispatch(end.buffer, &good, &result, nullptr) == EP4J_INVALID_ARGUMENT,
           "the legacy default stream was accepted");
    issue(end, good);
    refuse([](auto& call) { call.handle = 1; }, "released");
    end.expect_no_fault();
  });
}

}  // namespace

// The odd rank never calls. Rank 0 gives up first; the others, which would wait longer,
// learn it from rank 0.
void silent_rank(Ranks& ranks, const Case& c) {
  std::vector<RankInput> inputs = make_inputs(c, 0);
  ranks.run([&](RankEnd& end) {
    DeviceInput input = upload_input(end, c, inputs[static_cast<size_t>(end.rank)]);
    if (end.rank == odd_rank(c)) {
      return;
    }
    ep4j_dispatch_call call = dispatch_call(c, end.rank, input, 0, 0, 1);
    call.timeout_nanos = end.rank == 0 ? kShortNanos : kTimeoutNanos;
    auto begin = std::chrono::steady_clock::now();
    issue(end, call);
    end.sync();
    auto took = std::chrono::steady_clock::now() - begin;
    expect(took < std::chrono::seconds(5), "rank ", end.rank, " waited for its own deadline");
    expect_fault(end.fault(), end.rank == 0 ? EP4J_FAULT_TIMEOUT : EP4J_FAULT_PEER_FAILED,
                 EP4J_STAGE_COUNTS, odd_rank(c), 0);
    // The buffer has failed: a further call returns at once.
    call.region = 1;
    call.ticket = 2;
    issue(end, call);
    end.sync();
    std::vector<int32_t> per_expert;
    expect(await_counts(end, c, 2, per_expert).verdict == EP4J_ABORTED, "the buffer has failed");
  });
}

// Exactly full works; one row less of room drops the call everywhere; then the call works again.
void overflow(Ranks& ranks, const Case& c, bool bounded) {
  std::vector<RankInput> inputs = make_inputs(c, 0);
  std::vector<Received> want;
  for (int rank = 0; rank < c.ranks; rank++) {
    want.push_back(expected_dispatch(c, inputs, rank));
  }
  ranks.run([&](RankEnd& end) {
    const Received& mine = want[static_cast<size_t>(end.rank)];
    DeviceInput input = upload_input(end, c, inputs[static_cast<size_t>(end.rank)]);
    for (int missing : {0, 1, 0}) {
      Case fitted = c;
      fitted.capacity_rows = mine.num_received - (end.rank == 1 ? missing : 0);
      ep4j_dispatch_call call =
          dispatch_call(fitted, end.rank, input, 0, 0, static_cast<uint64_t>(missing + 1));
      ep4j_dispatch_result result = issue(end, call);
      int rows = end.download<int32_t>(result.num_received, 1)[0];
      if (missing == 0) {
        expect_same(fitted, read_result(end, fitted, result, rows, true), mine, true);
        end.expect_no_fault();
      } else {
        expect(rows == 0, "a dropped call received ", rows, " rows");
        expect_drop(end, fitted, call, want[1].num_received, bounded);
      }
      ok(ep4j_region_release(end.buffer, 0, end.stream), "releasing");
    }
  });
}

// A routing that breaks a rule on rank 1 is refused everywhere, by name; then a good one works.
void refused(Ranks& ranks, const Case& c, int64_t value, int rule) {
  constexpr int kToken = 3;
  std::vector<RankInput> inputs = make_inputs(c, 0);
  std::vector<RankInput> bad = inputs;
  int64_t* choices = &bad[1].topk_idx[static_cast<size_t>(kToken * c.topk)];
  choices[0] = 2;
  choices[1] = value;
  ranks.run([&](RankEnd& end) {
    const size_t rank = static_cast<size_t>(end.rank);
    DeviceInput good_input = upload_input(end, c, inputs[rank]);
    DeviceInput bad_input = upload_input(end, c, bad[rank]);
    issue(end, dispatch_call(c, end.rank, bad_input, 0, 0, 1));
    std::vector<int32_t> per_expert;
    ep4j_counts counts = await_counts(end, c, 1, per_expert);
    expect(counts.verdict == EP4J_REFUSED && counts.origin == 1 && counts.rule == rule &&
               counts.token == kToken && counts.value == value,
           "verdict ", counts.verdict, ", origin ", counts.origin, ", rule ", counts.rule,
           ", token ", counts.token, ", value ", counts.value);
    ok(ep4j_region_release(end.buffer, 0, end.stream), "releasing");
    ep4j_dispatch_result result = issue(end, dispatch_call(c, end.rank, good_input, 0, 0, 2));
    counts = await_counts(end, c, 2, per_expert);
    expect_same(c, read_result(end, c, result, counts.num_received, true),
                expected_dispatch(c, inputs, end.rank), true);
    end.expect_no_fault();
  });
}

// The others go on without the odd rank: masked by the host, or by the device on a timeout.
void masked(Ranks& ranks, const Case& c, bool by_host) {
  const int odd = odd_rank(c);
  std::vector<RankInput> inputs = make_inputs(c, 0);
  std::vector<RankInput> seen = without(c, inputs, odd);
  std::vector<CombineInput> y;
  for (int rank = 0; rank < c.ranks; rank++) {
    y.push_back(make_combine_input(c, rank, expected_dispatch(c, seen, rank).num_received, 0));
  }
  ranks.run([&](RankEnd& end) {
    const size_t rank = static_cast<size_t>(end.rank);
    DeviceInput input = upload_input(end, c, inputs[rank]);
    if (end.rank == odd) {
      return;
    }
    if (by_host) {
      ok(ep4j_mask(end.buffer, odd), "masking");
    }
    ep4j_dispatch_call call = dispatch_call(c, end.rank, input, 0, 0, 1);
    call.timeout_nanos = kShortNanos;
    ep4j_dispatch_result result = issue(end, call);
    std::vector<int32_t> per_expert;
    ep4j_counts counts = await_counts(end, c, 1, per_expert);
    Received got = read_result(end, c, result, counts.num_received, true);
    expect_same(c, got, expected_dispatch(c, seen, end.rank), true);
    uint32_t masked_ranks = 0;
    ok(ep4j_masked(end.buffer, &masked_ranks), "masked");
    expect(masked_ranks == 1u << odd, "masked ranks ", masked_ranks);

    ep4j_combine_call combine = {};
    combine.struct_size = sizeof combine;
    combine.y = end.upload(y[rank].y);
    combine.rows = counts.num_received;
    combine.hidden = c.hidden;
    combine.timeout_nanos = kTimeoutNanos;
    combine.receive_follows = end.rank % 2;
    ep4j_combine_receive_call receive = {};
    receive.struct_size = sizeof receive;
    const size_t elements = static_cast<size_t>(c.tokens[rank]) * static_cast<size_t>(c.hidden);
    receive.out = end.upload(std::vector<uint16_t>(elements, 0x7FC1));
    receive.hidden = c.hidden;
    receive.timeout_nanos = kTimeoutNanos;
    ok(ep4j_combine(end.buffer, &combine, end.stream), "combine");
    ok(ep4j_combine_receive(end.buffer, &receive, end.stream), "combine receive");
    Combined combined;
    combined.out = end.download<uint16_t>(receive.out, elements);
    expect_same(c, combined, expected_combine(c, seen, y, end.rank, false), false);
    end.expect_no_fault();
  });
  // The masked rank learns it at its next call.
  ranks.run([&](RankEnd& end) {
    if (end.rank != odd) {
      return;
    }
    issue(end, dispatch_call(c, end.rank, upload_input(end, c, inputs[static_cast<size_t>(odd)]), 0, 0, 1));
    end.sync();
    ep4j_error_record record = end.fault();
    expect(record.fault == EP4J_FAULT_MASKED, "fault ", record.fault);
  });
}

void silent_rank(const Case& c) {
  World world(c);
  silent_rank(world, c);
}

void overflow(Case c, bool bounded) {
  c.bounded = bounded;
  World world(c);
  overflow(world, c, bounded);
}

void refused(const Case& c, int64_t value, int rule) {
  World world(c);
  refused(world, c, value, rule);
}

void masked(const Case& c, bool by_host) {
  World world(c, 2, 2, !by_host);
  masked(world, c, by_host);
}

void fault_tests(Suite& suite) {
  suite.run("fault: a silent rank is named by every other one",
            [] { silent_rank(three_ranks()); });
  suite.run("fault: one row over capacity drops a counted call everywhere",
            [] { overflow(three_ranks(), false); });
  suite.run("fault: one row over capacity empties a bounded result everywhere",
            [] { overflow(three_ranks(), true); });
  for (int order : {EP4J_RANK_MAJOR, EP4J_EXPERT_MAJOR}) {
    Case c = three_ranks();
    c.order = order;
    suite.run(join("fault: an index out of range is refused everywhere, order ", order),
              [=] { refused(c, c.experts, EP4J_ROUTING_OUT_OF_RANGE); });
    suite.run(join("fault: an expert twice in a token is refused everywhere, order ", order),
              [=] { refused(c, 2, EP4J_ROUTING_TWICE); });
  }
  suite.run("fault: ranks go on without one that the host masked", [] { masked(three_ranks(), true); });
  suite.run("fault: ranks go on without one that timed out", [] { masked(three_ranks(), false); });
  suite.run("fault: the host refuses what it can see", host_refusals);
}

}  // namespace ep4j::test
