// Arenas: what is refused, what every rank hears if one has no room, and that memory is written
// again only after it has been read.
#include <chrono>
#include <thread>

#include "world.hpp"

namespace ep4j::test {
namespace {

constexpr int64_t kLine = 128;

Case three_ranks() {
  Case c;
  c.ranks = 3;
  c.experts = 6;
  c.topk = 2;
  c.hidden = 64;
  c.tokens = {5, 9, 7};
  c.pattern = Pattern::kFull;
  c.arena = true;
  return c;
}

ep4j_dispatch_result send(RankEnd& end, const ep4j_dispatch_call& call) {
  ep4j_dispatch_result result = {};
  result.struct_size = sizeof result;
  ok(ep4j_dispatch(end.buffer, &call, &result, end.stream), "dispatch");
  return result;
}

void receive(RankEnd& end, int region) {
  ok(ep4j_dispatch_receive(end.buffer, region, kTimeoutNanos, end.stream), "receive");
}

void release(RankEnd& end, int region) {
  ok(ep4j_region_release(end.buffer, region, end.stream), "releasing");
}

// An exact dispatch in a region that has its place, checked; the result stays open.
void dispatch_and_check(RankEnd& end, const Case& c, const std::vector<RankInput>& inputs,
                        const DeviceInput& input, int region, uint64_t ticket) {
  ep4j_dispatch_result result = send(end, dispatch_call(c, end.rank, input, region, 0, ticket));
  std::vector<int32_t> per_expert;
  ep4j_counts counts = await_counts(end, c, ticket, per_expert);
  expect(counts.verdict == EP4J_SENT, "verdict ", counts.verdict, " of ", counts.origin);
  ok(ep4j_region_settle(end.buffer, region, counts.num_received, &result), "settling");
  receive(end, region);
  Received want = expected_dispatch(c, inputs, end.rank);
  expect_same(c, read_result(end, c, result, counts.num_received, true), want, true);
}

// Rank 1's place is too small for what comes: everybody hears how much would have been enough.
void no_room_for_counted_rows(int order) {
  Case c = three_ranks();
  c.order = order;
  World world(c);
  std::vector<RankInput> inputs = make_inputs(c, 0);
  const int64_t needed = expected_dispatch(c, inputs, 1).num_received;
  world.run([&](RankEnd& end) {
    DeviceInput input = upload_input(end, c, inputs[static_cast<size_t>(end.rank)]);
    uint64_t ticket = 1;
    for (int64_t bytes : {int64_t{0}, kLine, region_bytes(c, needed) - kLine}) {
      if (end.rank == 1) {
        ok(ep4j_region_place(end.buffer, 0, 5 * kLine, bytes), "placing");
      } else {
        place_region(end, c, 0, end.rank);
      }
      ep4j_dispatch_result result =
          send(end, dispatch_call(c, end.rank, input, 0, 0, ++ticket));
      expect(result.x == nullptr, "no address of rows that do not come");
      std::vector<int32_t> per_expert;
      ep4j_counts counts = await_counts(end, c, ticket, per_expert);
      expect(counts.verdict == EP4J_OVERFLOW && counts.origin == 1, "verdict ", counts.verdict,
             " of ", counts.origin, " with ", bytes, " bytes");
      expect(counts.needed == needed && counts.capacity >= 0 && counts.capacity < needed, "needed ",
             counts.needed, ", capacity ", counts.capacity, " with ", bytes, " bytes");
      receive(end, 0);
      release(end, 0);
    }
    if (end.rank == 1) {
      ok(ep4j_region_place(end.buffer, 0, 5 * kLine, region_bytes(c, needed)), "placing");
    } else {
      place_region(end, c, 0, end.rank);
    }
    dispatch_and_check(end, c, inputs, input, 0, ++ticket);
    release(end, 0);
    end.expect_no_fault();
  });
}

// Rank 2 has no room for a cached dispatch: everybody is told.
void no_room_for_cached_rows(int order) {
  Case c = three_ranks();
  c.order = order;
  c.zero_fill = order == EP4J_EXPERT_MAJOR;
  c.alignment = c.zero_fill ? 4 : 1;
  World world(c);
  std::vector<RankInput> inputs = make_inputs(c, 0);
  world.run([&](RankEnd& end) {
    DeviceInput input = upload_input(end, c, inputs[static_cast<size_t>(end.rank)]);
    place_region(end, c, 0, 1);
    dispatch_and_check(end, c, inputs, input, 0, 1);
    const Received want = expected_dispatch(c, inputs, end.rank);
    ep4j_dispatch_call call = cached_call(c, end.rank, input, 1, 0);
    call.capacity_rows = want.num_received;
    for (uint64_t ticket : {2, 3}) {
      if (end.rank == 2) {
        ok(ep4j_region_place(end.buffer, 1, 0, 2 * kLine), "placing");
      } else {
        place_region(end, c, 1, 3);
      }
      call.ticket = ticket;
      send(end, call);
      std::vector<int32_t> unused;
      ep4j_counts counts = await_counts(end, c, ticket, unused);
      expect(counts.verdict == EP4J_OVERFLOW && counts.origin == 2 && counts.capacity == 2,
             "verdict ", counts.verdict, " of ", counts.origin, ", capacity ", counts.capacity);
      expect(counts.needed == expected_dispatch(c, inputs, 2).num_received, "needed ",
             counts.needed);
      receive(end, 1);
      release(end, 1);
    }
    place_region(end, c, 1, 2);
    call.ticket = 4;
    ep4j_dispatch_result result = send(end, call);
    std::vector<int32_t> unused;
    expect(await_counts(end, c, 4, unused).verdict == EP4J_SENT, "the next one fits");
    receive(end, 1);
    expect_same(c, read_result(end, c, result, want.num_received, false), want, false);
    end.expect_no_fault();
  });
}

// Rank 0 has no place for a bounded result and knows it; the others find it in their records.
void no_place_for_a_bounded_result() {
  Case c = three_ranks();
  c.bounded = true;
  World world(c);
  std::vector<RankInput> inputs = make_inputs(c, 0);
  world.run([&](RankEnd& end) {
    DeviceInput input = upload_input(end, c, inputs[static_cast<size_t>(end.rank)]);
    if (end.rank == 0) {
      ok(ep4j_region_place(end.buffer, 0, 0, 3 * kLine), "placing");
    } else {
      place_region(end, c, 0, 0);
    }
    ep4j_dispatch_result result = send(end, dispatch_call(c, end.rank, input, 0, 0, 0));
    receive(end, 0);
    end.sync();
    ep4j_error_record record = end.fault();
    if (end.rank == 0) {
      expect(record.fault == EP4J_FAULT_NONE && result.x == nullptr, "fault ", record.fault);
    } else {
      expect(record.fault == EP4J_FAULT_OVERFLOW && record.peer == 0 && record.needed == c.rows(),
             "fault ", record.fault, " of ", record.peer, ", needed ", record.needed);
      expect(end.download<int32_t>(result.num_received, 1)[0] == 0, "the result is empty");
    }
    release(end, 0);
    place_region(end, c, 0, 2);
    result = send(end, dispatch_call(c, end.rank, input, 0, 0, 0));
    receive(end, 0);
    const Received want = expected_dispatch(c, inputs, end.rank);
    expect_same(c, read_result(end, c, result, want.num_received, true), want, true);
    end.expect_no_fault();
  });
}

void refuse_bad_places() {
  Case c = three_ranks();
  c.ranks = 1;
  c.tokens = {5};
  World world(c);
  std::vector<RankInput> inputs = make_inputs(c, 0);
  world.run([&](RankEnd& end) {
    const int64_t bytes = place_bytes(c);
    DeviceInput input = upload_input(end, c, inputs[0]);
    auto refused = [](ep4j_status status, const char* what) {
      expect(status == EP4J_INVALID_ARGUMENT, what, ": ", ep4j_last_error());
    };
    refused(ep4j_region_place(end.buffer, 0, 64, bytes), "off the lines");
    refused(ep4j_region_place(end.buffer, 0, -kLine, bytes), "before the arena");
    refused(ep4j_region_place(end.buffer, 0, 4 * bytes, kLine), "behind the arena");
    refused(ep4j_region_place(end.buffer, 0, 0, 4 * bytes + kLine), "longer than the arena");
    refused(ep4j_region_place(end.buffer, 2, 0, bytes), "of no region");
    place_region(end, c, 0, 1);
    dispatch_and_check(end, c, inputs, input, 0, 1);
    refused(ep4j_region_place(end.buffer, 0, 0, bytes), "of an open region");
    refused(ep4j_region_place(end.buffer, 1, bytes, kLine), "in an open region");
    refused(ep4j_output_place(end.buffer, 0, 0, bytes + kLine), "over an open region");
    place_output(end, c, 0, 0);
    void* y = nullptr;
    ok(ep4j_combine_input(end.buffer, 0, 5, c.hidden, kTimeoutNanos, &y, end.stream), "input");
    refused(ep4j_region_place(end.buffer, 1, 0, kLine), "in an output that is handed out");
    ep4j_combine_call call = {};
    call.struct_size = sizeof call;
    call.y = y;
    call.hidden = c.hidden;
    call.timeout_nanos = kTimeoutNanos;
    ok(ep4j_combine(end.buffer, &call, end.stream), "combine");
    place_region(end, c, 1, 3);
    ep4j_dispatch_call dispatch = dispatch_call(c, 0, input, 1, 1, 2);
    ep4j_dispatch_result result = {};
    result.struct_size = sizeof result;
    refused(ep4j_dispatch(end.buffer, &dispatch, &result, end.stream), "before the combine's end");
  });
  Case fixed = c;
  fixed.arena = false;
  World other(fixed);
  other.run([&](RankEnd& end) {
    expect(ep4j_region_place(end.buffer, 0, 0, kLine) == EP4J_INVALID_ARGUMENT, "without an arena");
  });
}

// Two places change their use in every round: the region of a dispatch is where the last round's
// outputs were, which a slow rank may not have read yet.
void write_after_read(int rounds) {
  Case c = three_ranks();
  c.hidden = 2048;
  c.tokens = {20, 31, 26};
  World world(c);
  std::vector<RankInput> inputs = make_inputs(c, 0);
  std::vector<std::vector<CombineInput>> y(static_cast<size_t>(rounds));
  for (int round = 0; round < rounds; round++) {
    for (int rank = 0; rank < c.ranks; rank++) {
      const int rows = expected_dispatch(c, inputs, rank).num_received;
      y[static_cast<size_t>(round)].push_back(
          make_combine_input(c, rank, rows, static_cast<uint64_t>(round)));
    }
  }
  world.run([&](RankEnd& end) {
    const size_t rank = static_cast<size_t>(end.rank);
    const size_t elements = static_cast<size_t>(c.tokens[rank]) * static_cast<size_t>(c.hidden);
    DeviceInput input = upload_input(end, c, inputs[rank]);
    std::vector<const uint16_t*> in;
    std::vector<uint16_t*> out;
    for (size_t round = 0; round < y.size(); round++) {
      in.push_back(end.upload(y[round][rank].y));
      out.push_back(end.upload(std::vector<uint16_t>(elements, 0x7FC1)));
    }
    for (int round = 0; round < rounds; round++) {
      const uint64_t ticket = static_cast<uint64_t>(round) + 1;
      place_region(end, c, round % 2, round % 2);
      ep4j_dispatch_result result =
          send(end, dispatch_call(c, end.rank, input, round % 2, 0, ticket));
      std::vector<int32_t> per_expert;
      ep4j_counts counts = await_counts(end, c, ticket, per_expert);
      expect(counts.verdict == EP4J_SENT, "verdict ", counts.verdict);
      ok(ep4j_region_settle(end.buffer, round % 2, counts.num_received, &result), "settling");
      receive(end, round % 2);
      release(end, round % 2);
      const int output = round % 2;
      place_output(end, c, output, 1 - round % 2);
      ep4j_combine_call call = {};
      call.struct_size = sizeof call;
      call.y = in[static_cast<size_t>(round)];
      call.output = output;
      call.rows = counts.num_received;
      call.hidden = c.hidden;
      call.timeout_nanos = kTimeoutNanos;
      ok(ep4j_combine(end.buffer, &call, end.stream), "combine");
      if (end.rank == round % c.ranks) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
      }
      ep4j_combine_receive_call receive = {};
      receive.struct_size = sizeof receive;
      receive.out = out[static_cast<size_t>(round)];
      receive.output = output;
      receive.hidden = c.hidden;
      receive.timeout_nanos = kTimeoutNanos;
      ok(ep4j_combine_receive(end.buffer, &receive, end.stream), "combine receive");
    }
    for (size_t round = 0; round < y.size(); round++) {
      Combined got;
      got.out = end.download<uint16_t>(out[round], elements);
      expect_same(c, got, expected_combine(c, inputs, y[round], end.rank, false), false);
    }
    end.expect_no_fault();
  });
}

}  // namespace

void arena_tests(Suite& suite) {
  for (int order : {EP4J_RANK_MAJOR, EP4J_EXPERT_MAJOR}) {
    suite.run(join("arena: no room for counted rows, order ", order),
              [=] { no_room_for_counted_rows(order); });
    suite.run(join("arena: no room for cached rows, order ", order),
              [=] { no_room_for_cached_rows(order); });
  }
  suite.run("arena: no place for a bounded result", no_place_for_a_bounded_result);
  suite.run("arena: places that are refused", refuse_bad_places);
  suite.run("arena: regions where outputs were, read late", [] { write_after_read(24); });
}

}  // namespace ep4j::test
