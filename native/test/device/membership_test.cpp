// Ranks that are masked, gone or back again: what the others receive.
#include <algorithm>
#include <chrono>
#include <thread>

#include "membership.hpp"

namespace ep4j::test {
namespace {

// A handle older than the mask: the lost rank's rows keep their places, all zero.
void older_handle(int order) {
  Case c = three_ranks();
  c.order = order;
  World world(c);
  std::vector<RankInput> inputs = make_inputs(c, 0);
  Milestone dispatched;
  world.run([&](RankEnd& end) {
    DeviceInput input = upload_input(end, c, inputs[static_cast<size_t>(end.rank)]);
    const Received whole = expected_dispatch(c, inputs, end.rank);
    round(end, c, dispatch_call(c, end.rank, input, 0, 0, 1), whole);
    dispatched.reach();
    dispatched.await(3);
    if (end.rank == kAway) {
      return;
    }
    ok(ep4j_mask(end.buffer, kAway), "masking");
    for (int region : {0, 1}) {
      ep4j_dispatch_result result = issue(end, cached_call(c, end.rank, input, region, 0));
      expect_same(c, read_result(end, c, result, whole.num_received, false),
                  with_lost_rows(c, whole, kAway), false);
      ok(ep4j_region_release(end.buffer, region, end.stream), "releasing");
    }
    expect(look(end).quarantined == 0, "nobody can be late");
    end.expect_no_fault();
  });
}

// Rank 2 comes when the others have masked it, gone on without it and closed. It hears that it was
// masked, under either policy: that they have closed since must not make them look lost.
void masked_by_the_departed(bool mask_on_timeout) {
  Case c = three_ranks();
  World world(c, 2, 2, mask_on_timeout);
  std::vector<RankInput> inputs = make_inputs(c, 0);
  const std::vector<RankInput> seen = without(c, inputs, kAway);
  Milestone masked;
  Milestone gone;
  world.run([&](RankEnd& end) {
    DeviceInput input = upload_input(end, c, inputs[static_cast<size_t>(end.rank)]);
    ep4j_dispatch_call call = dispatch_call(c, end.rank, input, 0, 0, 1);
    if (end.rank == kAway) {
      gone.await(2);
      issue(end, call);
      end.sync();
      ep4j_error_record record = end.fault();
      expect(record.fault == EP4J_FAULT_MASKED, "fault ", record.fault, " at stage ", record.stage,
             ", peer ", record.peer);
      expect_masked(end, 0);
      return;
    }
    if (!mask_on_timeout) {
      ok(ep4j_mask(end.buffer, kAway), "masking");
      look(end);  // the mask is in force
      masked.reach();
      masked.await(2);
    }
    call.timeout_nanos = kShortNanos;
    issue(end, call);
    end.sync();
    expect_masked(end, 1u << kAway);
    ok(ep4j_region_release(end.buffer, 0, end.stream), "releasing");
    call.ticket = 2;
    call.timeout_nanos = kTimeoutNanos;
    round(end, c, call, expected_dispatch(c, seen, end.rank));
    ok(ep4j_buffer_disconnect(end.buffer), "closing");
    gone.reach();
  });
}

// Only rank 0 masks rank 2, which leaves at its next call; rank 1 waits for it, learns that it has
// left, and goes on too, although timeouts do not mask there.
void views_differ() {
  Case c = three_ranks();
  World world(c);
  std::vector<RankInput> inputs = make_inputs(c, 0);
  const std::vector<RankInput> seen = without(c, inputs, kAway);
  Milestone masked;
  world.run([&](RankEnd& end) {
    DeviceInput input = upload_input(end, c, inputs[static_cast<size_t>(end.rank)]);
    if (end.rank == 0) {
      ok(ep4j_mask(end.buffer, kAway), "masking");
      look(end);  // the mask is in force
      masked.reach();
    }
    masked.await(1);
    ep4j_dispatch_call call = dispatch_call(c, end.rank, input, 0, 0, 1);
    issue(end, call);
    end.sync();
    if (end.rank == kAway) {
      expect_fault(end.fault(), EP4J_FAULT_MASKED, EP4J_STAGE_COUNTS, 0, kAway);
      // Rank 1 masks it, too, when it has heard.
      const uint64_t by = look(end).masked_by;
      expect(by == 1 || by == 3, "masked by ", by);
      return;
    }
    end.expect_no_fault();
    expect_masked(end, 1u << kAway);
    ok(ep4j_region_release(end.buffer, 0, end.stream), "releasing");
    for (uint64_t ticket : {2, 3}) {
      call.ticket = ticket;
      round(end, c, call, expected_dispatch(c, seen, end.rank));
    }
    expect(look(end).quarantined == 0, "a rank that has left writes no more");
    end.expect_no_fault();
  });
}

// Rank 2 is masked while the others go on, or has tried a call itself; then all welcome each other
// and work as before, from the furthest rank's epoch.
void unmasked(bool tries) {
  Case c = three_ranks();
  World world(c);
  std::vector<RankInput> inputs = make_inputs(c, 0);
  const std::vector<RankInput> seen = without(c, inputs, kAway);
  Milestone ready;
  Milestone away;
  Milestone joined;
  Milestone pardoned;
  std::vector<ep4j_standing> standings(3);
  world.run([&](RankEnd& end) {
    const size_t rank = static_cast<size_t>(end.rank);
    DeviceInput input = upload_input(end, c, inputs[rank]);
    const Received whole = expected_dispatch(c, inputs, end.rank);
    const Received rest = expected_dispatch(c, seen, end.rank);
    uint64_t ticket = 1;
    auto dispatch = [&](const Received& want) {
      ep4j_dispatch_call call =
          dispatch_call(c, end.rank, input, static_cast<int>(ticket % 2), 0, ticket);
      ticket++;
      round(end, c, call, want);
    };
    for (int turn = 0; turn < 3; turn++) {
      dispatch(whole);
      ready.reach();
      ready.await(3 * turn + 3);
      if (end.rank != kAway) {
        ok(ep4j_mask(end.buffer, kAway), "masking");
        for (int i = 0; i <= turn; i++) {
          dispatch(rest);
        }
        away.reach();
      } else if (tries) {
        away.await(2 * turn + 2);
        ep4j_dispatch_call call = dispatch_call(c, end.rank, input, 0, 0, ticket++);
        issue(end, call);
        end.sync();
        expect(end.fault().fault == EP4J_FAULT_MASKED, "rank 2 was masked");
        ok(ep4j_region_release(end.buffer, 0, end.stream), "releasing");
      }
      away.await(2 * turn + 2);
      end.sync();
      ok(ep4j_idle(end.buffer), "idle");
      standings[rank] = look(end);
      joined.reach();
      joined.await(3 * turn + 3);
      const ep4j_standing mine = look(end);
      ep4j_welcome_call welcome = {};
      welcome.struct_size = sizeof welcome;
      welcome.members = end.rank == kAway ? 3 : 1u << kAway;
      welcome.wait_nanos = kTimeoutNanos;
      std::copy_n(mine.mask_tags, 3, welcome.mask_tags);
      std::copy_n(mine.failure_tags, 3, welcome.failure_tags);
      for (const ep4j_standing& standing : standings) {
        welcome.epoch = std::max(welcome.epoch, standing.epoch);
        welcome.dispatches = std::max(welcome.dispatches, standing.dispatches);
      }
      pardoned.reach();
      pardoned.await(3 * turn + 3);
      ok(ep4j_welcome(end.buffer, &welcome), "welcoming");
      expect_masked(end, 0);
      expect(look(end).masked_by == 0 && look(end).failed == 0, "rank ", end.rank, " is away");
      dispatch(whole);
      dispatch(whole);
    }
    end.expect_no_fault();
  });
}

// Rank 0's host gives up while its device waits for rank 2; rank 1 hears of it at once.
void aborted() {
  Case c = three_ranks();
  World world(c);
  std::vector<RankInput> inputs = make_inputs(c, 0);
  Milestone over;
  world.run([&](RankEnd& end) {
    DeviceInput input = upload_input(end, c, inputs[static_cast<size_t>(end.rank)]);
    if (end.rank == 2) {
      over.await(2);
      return;
    }
    const auto begin = std::chrono::steady_clock::now();
    issue(end, dispatch_call(c, end.rank, input, 0, 0, 1));
    if (end.rank == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      ok(ep4j_abort(end.buffer), "giving up");
    }
    end.sync();
    over.reach();
    expect(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5), "rank ", end.rank,
           " waited for its deadline");
    if (end.rank == 1) {
      expect_fault(end.fault(), EP4J_FAULT_PEER_FAILED, EP4J_STAGE_CALL, 0, 0);
    } else {
      end.expect_no_fault();  // its host knows
      expect(look(end).failed == EP4J_FAULT_ABORTED, "the buffer has failed");
    }
  });
}

// Rank 2 closes. Who waits for it hears so at once; what it sent before is received all the same.
void closed(bool after_sending) {
  Case c = three_ranks();
  World world(c);
  std::vector<RankInput> inputs = make_inputs(c, 0);
  Milestone gone;
  world.run([&](RankEnd& end) {
    DeviceInput input = upload_input(end, c, inputs[static_cast<size_t>(end.rank)]);
    ep4j_dispatch_call call = dispatch_call(c, end.rank, input, 0, 0, 1);
    if (end.rank == kAway) {
      if (after_sending) {
        round(end, c, call, expected_dispatch(c, inputs, end.rank));
      }
      ok(ep4j_buffer_disconnect(end.buffer), "closing");
      gone.reach();
      return;
    }
    const auto begin = std::chrono::steady_clock::now();
    ep4j_dispatch_result result = {};
    result.struct_size = sizeof result;
    ok(ep4j_dispatch(end.buffer, &call, &result, end.stream), "dispatch");
    gone.await(1);
    ok(ep4j_dispatch_receive(end.buffer, 0, kTimeoutNanos, end.stream), "receive");
    end.sync();
    if (after_sending) {
      end.expect_no_fault();
      const Received want = expected_dispatch(c, inputs, end.rank);
      expect_same(c, read_result(end, c, result, want.num_received, true), want, true);
      return;
    }
    expect(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5), "rank ", end.rank,
           " waited for its deadline");
    expect_fault(end.fault(), EP4J_FAULT_PEER_FAILED, EP4J_STAGE_CALL, kAway, kAway);
  });
}

// Rows that one rank sends to another, in either order.
uint64_t rows_between(const Case& c, const RankInput& input, int destination) {
  uint64_t rows = 0;
  for (size_t token = 0; token < input.topk_idx.size() / static_cast<size_t>(c.topk); token++) {
    uint64_t choices = 0;
    for (int k = 0; k < c.topk; k++) {
      int64_t expert = input.topk_idx[token * static_cast<size_t>(c.topk) + static_cast<size_t>(k)];
      choices += expert >= 0 && expert / c.local_experts() == destination ? 1 : 0;
    }
    rows += c.rank_major() ? std::min<uint64_t>(choices, 1) : choices;
  }
  return rows;
}

// A dispatch, a cached one with a cast, and a combine: rows and bytes per peer.
void traffic(int order) {
  Case c = three_ranks();
  c.order = order;
  c.hidden = 128;
  World world(c);
  std::vector<RankInput> inputs = make_inputs(c, 0);
  world.run([&](RankEnd& end) {
    const size_t rank = static_cast<size_t>(end.rank);
    DeviceInput input = upload_input(end, c, inputs[rank]);
    if (end.rank == 1) {
      std::this_thread::sleep_for(std::chrono::milliseconds(60));
    }
    round(end, c, dispatch_call(c, end.rank, input, 0, 0, 1),
          expected_dispatch(c, inputs, end.rank));
    ep4j_dispatch_call cast = cached_call(c, end.rank, input, 1, 0);
    cast.cast = EP4J_CAST_PLAIN;
    issue(end, cast);
    ep4j_combine_call combine = {};
    combine.struct_size = sizeof combine;
    combine.hidden = c.hidden;
    combine.timeout_nanos = kTimeoutNanos;
    combine.rows = expected_dispatch(c, inputs, end.rank).num_received;
    combine.y = end.scratch.take(static_cast<size_t>(combine.rows) * 256 + 16);
    ok(ep4j_combine(end.buffer, &combine, end.stream), "combine");
    ep4j_combine_receive_call receive = {};
    receive.struct_size = sizeof receive;
    receive.out = end.scratch.take(size_t{256} * static_cast<size_t>(c.tokens[rank]));
    receive.hidden = c.hidden;
    receive.timeout_nanos = kTimeoutNanos;
    ok(ep4j_combine_receive(end.buffer, &receive, end.stream), "combine receive");
    end.sync();
    end.expect_no_fault();
    const ep4j_standing standing = look(end);
    expect(standing.epoch == 3 && standing.dispatches == 2, "epoch ", standing.epoch);
    for (int peer = 0; peer < c.ranks; peer++) {
      const uint64_t out = rows_between(c, inputs[rank], peer);
      const uint64_t in = rows_between(c, inputs[static_cast<size_t>(peer)], end.rank);
      expect(standing.rows_sent[peer] == 2 * out && standing.rows_received[peer] == 2 * in &&
                 standing.rows_combined[peer] == out,
             "rank ", end.rank, ", peer ", peer, ": sent ", standing.rows_sent[peer], ", received ",
             standing.rows_received[peer], ", combined ", standing.rows_combined[peer],
             "; expected ", 2 * out, ", ", 2 * in, ", ", out);
      expect(standing.bytes_sent[peer] == out * (256 + 132), "bytes ", standing.bytes_sent[peer]);
    }
    if (end.rank == 0) {
      expect(standing.wait_nanos[1] > 20'000'000, "waited ", standing.wait_nanos[1],
             " ns for the late rank");
      expect(standing.wait_nanos[0] == 0, "waited for itself");
    }
  });
}

}  // namespace

void membership_tests(Suite& suite) {
  for (int order : {EP4J_RANK_MAJOR, EP4J_EXPERT_MAJOR}) {
    suite.run(join("membership: a handle older than the mask, order ", order),
              [=] { older_handle(order); });
    suite.run(join("membership: rows and bytes per peer are counted, order ", order),
              [=] { traffic(order); });
  }
  suite.run("membership: a rank learns of another's mask when the masked one leaves",
            views_differ);
  for (bool on_timeout : {false, true}) {
    suite.run(join("membership: masked ", on_timeout ? "on a timeout" : "by hand",
                   " by ranks that have closed since"),
              [=] { masked_by_the_departed(on_timeout); });
  }
  for (bool tries : {false, true}) {
    suite.run(join("membership: a masked rank comes back", tries ? ", having tried alone" : ""),
              [=] { unmasked(tries); });
  }
  suite.run("membership: a host that gives up is heard of at once", aborted);
  suite.run("membership: a rank that closed is not waited for", [] { closed(false); });
  suite.run("membership: what a rank sent before it closed is received", [] { closed(true); });
}

}  // namespace ep4j::test
