// Dispatch and combine in all forms, every row of every rank against the oracle.
//
// A case makes two rounds on one group of buffers. Each round is a counted dispatch and a combine
// in place, then a cached dispatch of other rows over the same routing and a staged combine.
#include <thread>

#include "suites.hpp"

namespace ep4j::test {
namespace {

// Everything that one round should give.
struct Expected {
  std::vector<RankInput> inputs;
  std::vector<RankInput> others;  // other rows, the same routing
  std::vector<Received> received;
  std::vector<Received> cached;
  std::vector<CombineInput> y;
  std::vector<CombineInput> other_y;
  std::vector<Combined> combined;
  std::vector<Combined> other_combined;
  std::vector<std::vector<RankInput>> inputs_so_far;  // [rank][round]
};

bool is_weighted(const Case& c) { return !c.rank_major() && c.weights; }

// The oracle is slow: its ranks run in parallel.
void for_all_ranks(const Case& c, const std::function<void(int)>& action) {
  std::vector<std::thread> threads;
  for (int rank = 0; rank < c.ranks; rank++) {
    threads.emplace_back(action, rank);
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

Expected expect_round(const Case& c, uint64_t round) {
  Expected want;
  want.inputs = make_inputs(c, round);
  want.others = make_inputs(c, round + 1000);
  for (int rank = 0; rank < c.ranks; rank++) {
    const size_t r = static_cast<size_t>(rank);
    want.others[r].topk_idx = want.inputs[r].topk_idx;
    want.others[r].topk_weights = want.inputs[r].topk_weights;
  }
  const size_t ranks = static_cast<size_t>(c.ranks);
  want.received.resize(ranks), want.cached.resize(ranks);
  want.y.resize(ranks), want.other_y.resize(ranks);
  want.combined.resize(ranks), want.other_combined.resize(ranks);
  for_all_ranks(c, [&](int rank) {
    const size_t r = static_cast<size_t>(rank);
    want.received[r] = expected_dispatch(c, want.inputs, rank);
    want.cached[r] = expected_dispatch(c, want.others, rank);
    int rows = want.received[r].num_received;
    want.y[r] = make_combine_input(c, rank, rows, round);
    want.other_y[r] = make_combine_input(c, rank, rows, round + 1000);
  });
  for_all_ranks(c, [&](int rank) {
    const size_t r = static_cast<size_t>(rank);
    want.combined[r] = expected_combine(c, want.inputs, want.y, rank, false);
    want.other_combined[r] = expected_combine(c, want.inputs, want.other_y, rank, is_weighted(c));
  });
  return want;
}

// Rows past the last one of a bounded result are nobody's.
void expect_marked_tail(RankEnd& end, const Case& c, const ep4j_dispatch_result& result, int rows) {
  const size_t all = static_cast<size_t>(c.rows());
  std::vector<int32_t> tokens = end.download<int32_t>(result.source_token, all);
  for (size_t row = static_cast<size_t>(rows); row < all; row++) {
    expect(tokens[row] == -1, "row ", row, " past ", rows, " has source token ", tokens[row]);
  }
  if (!c.rank_major()) {
    std::vector<float> weights = end.download<float>(result.weight, all);
    std::vector<int32_t> ranks = end.download<int32_t>(result.source_rank, all);
    for (size_t row = static_cast<size_t>(rows); row < all; row++) {
      expect(weights[row] == 0.0f && ranks[row] == -1, "row ", row, " past ", rows);
    }
    return;
  }
  const size_t topk = static_cast<size_t>(c.topk);
  std::vector<float> weights = end.download<float>(result.topk_weights, all * topk);
  std::vector<int32_t> words =
      end.download<int32_t>(result.topk_idx, all * topk * static_cast<size_t>(c.index_bytes) / 4);
  for (size_t i = static_cast<size_t>(rows) * topk; i < all * topk; i++) {
    expect(weights[i] == 0.0f, "weight ", i / topk, " past ", rows, " is ", weights[i]);
    expect(words[i * static_cast<size_t>(c.index_bytes) / 4] == -1, "index ", i / topk, " past ",
           rows);
  }
}

class RoundTrip {
 public:
  RoundTrip(RankEnd& end, const Case& c, const Expected& want, uint64_t round)
      : end_(end),
        c_(c),
        want_(want),
        rank_(static_cast<size_t>(end.rank)),
        ticket_(100 + round),
        handle_(static_cast<int>(round % 2)),
        first_place_(static_cast<int>(round) + end.rank) {}

  void run() {
    // Everything is uploaded first: a copy from pageable memory may wait for the device.
    DeviceInput input = upload_input(end_, c_, want_.inputs[rank_]);
    DeviceInput other = upload_input(end_, c_, want_.others[rank_]);
    counted(input);
    combine(want_.y[rank_], want_.combined[rank_], true, false);
    cached(other);
    combine(want_.other_y[rank_], want_.other_combined[rank_], false, is_weighted(c_));
    end_.expect_no_fault();
    expect_network_traffic();
  }

 private:
  void counted(const DeviceInput& input) {
    ep4j_dispatch_call call = dispatch_call(c_, end_.rank, input, 0, handle_, ticket_);
    if (c_.arena) {
      place_region(end_, c_, 0, place(0));
    }
    ep4j_dispatch_result result = issue(call);
    int rows;
    if (c_.bounded) {
      receive(0);
      rows = end_.download<int32_t>(result.num_received, 1)[0];
    } else {
      std::vector<int32_t> per_expert;
      ep4j_counts counts = await_counts(end_, c_, ticket_, per_expert);
      expect(counts.verdict == EP4J_SENT, "verdict ", counts.verdict, ", origin ", counts.origin);
      expect(per_expert == want_.received[rank_].tokens_per_expert, "host counts differ");
      rows = counts.num_received;
      if (c_.arena) {
        expect(result.x == nullptr && result.source_token == nullptr, "no addresses before counts");
        ok(ep4j_region_settle(end_.buffer, 0, rows, &result), "settling");
      }
      receive(0);
    }
    expect_same(c_, read_result(end_, c_, result, rows, true), want_.received[rank_], true);
    if (c_.bounded) {
      expect_marked_tail(end_, c_, result, rows);
    }
    ok(ep4j_region_release(end_.buffer, 0, end_.stream), "releasing");
  }

  void cached(const DeviceInput& input) {
    const Received& want = want_.cached[rank_];
    ep4j_dispatch_call call = cached_call(c_, end_.rank, input, 1, handle_);
    if (c_.arena) {
      place_region(end_, c_, 1, place(1));
      call.capacity_rows = c_.bounded ? c_.rows() : want.num_received;
      call.ticket = ticket_ + 1000;
    }
    ep4j_dispatch_result result = issue(call);
    if (c_.arena) {
      std::vector<int32_t> unused;
      ep4j_counts counts = await_counts(end_, c_, call.ticket, unused);
      expect(counts.verdict == EP4J_SENT, "verdict ", counts.verdict, ", origin ", counts.origin);
    }
    receive(1);
    expect_same(c_, read_result(end_, c_, result, want.num_received, false), want, false);
    ok(ep4j_region_release(end_.buffer, 1, end_.stream), "releasing");
  }

  ep4j_dispatch_result issue(const ep4j_dispatch_call& call) {
    ep4j_dispatch_result result = {};
    result.struct_size = sizeof result;
    end_.doing = "dispatching";
    ok(ep4j_dispatch(end_.buffer, &call, &result, end_.stream), "dispatch");
    return result;
  }

  void receive(int region) {
    ok(ep4j_dispatch_receive(end_.buffer, region, kTimeoutNanos, end_.stream), "receive");
  }

  void combine(const CombineInput& y, const Combined& want, bool in_place, bool weighted) {
    const int rows = want_.received[rank_].num_received;
    const size_t tokens = static_cast<size_t>(c_.tokens[rank_]);
    const int output = in_place ? 0 : 1;
    const bool weights = !weighted;
    ep4j_combine_call call = {};
    call.struct_size = sizeof call;
    if (c_.arena) {
      place_output(end_, c_, output, place(2 + output));
    }
    void* input = nullptr;
    if (in_place) {
      ok(ep4j_combine_input(end_.buffer, output, rows, c_.hidden, kTimeoutNanos, &input,
                            end_.stream),
         "combine input");
      end_.sync();
      ok(cudaMemcpyAsync(input, y.y.data(), 2 * y.y.size(), cudaMemcpyHostToDevice, end_.stream),
         "writing y");
    }
    call.y = in_place ? input : end_.upload(y.y);
    call.topk_weights = weights ? end_.upload(y.weights) : nullptr;
    call.handle = handle_;
    call.output = output;
    call.rows = rows;
    call.hidden = c_.hidden;
    call.weighted = weighted;
    call.timeout_nanos = kTimeoutNanos;
    call.receive_follows = (end_.rank + output) % 2;  // each rank as it likes

    ep4j_combine_receive_call receive = {};
    receive.struct_size = sizeof receive;
    receive.out =
        end_.upload(std::vector<uint16_t>(tokens * static_cast<size_t>(c_.hidden), 0x7FC1));
    std::vector<float> poison(tokens * static_cast<size_t>(c_.topk), -77.0f);
    receive.out_weights = weights ? end_.upload(poison) : nullptr;
    receive.bias0 = c_.biases > 0 ? end_.upload(make_bias(c_, end_.rank, 0)) : nullptr;
    receive.bias1 = c_.biases > 1 ? end_.upload(make_bias(c_, end_.rank, 1)) : nullptr;
    receive.handle = handle_;
    receive.output = output;
    receive.hidden = c_.hidden;
    receive.weighted = weighted;
    receive.num_sms = num_sms_of(c_, end_.rank);
    receive.timeout_nanos = kTimeoutNanos;
    end_.doing = "combining";
    ok(ep4j_combine(end_.buffer, &call, end_.stream), "combine");
    ok(ep4j_combine_receive(end_.buffer, &receive, end_.stream), "combine receive");
    Combined got;
    got.out = end_.download<uint16_t>(receive.out, tokens * static_cast<size_t>(c_.hidden));
    if (weights) {
      got.weights = end_.download<float>(receive.out_weights, poison.size());
    }
    expect_same(c_, got, want, weights);
  }

  // A row crosses once per other node of its token, in each of a round's two dispatches, and a
  // node's sum once in each combine.
  void expect_network_traffic() {
    ep4j_network network = {};
    network.struct_size = sizeof network;
    ok(ep4j_network_traffic(end_.buffer, kTimeoutNanos, &network), "asking for the network's traffic");
    for (int node = 0; node < c_.nodes(); node++) {
      uint64_t rows = 0;
      for (const RankInput& input : want_.inputs_so_far[rank_]) {
        rows += node == c_.node_of(end_.rank)
                    ? 0
                    : 2 * static_cast<uint64_t>(tokens_to_node(c_, input, node));
      }
      const uint64_t row_bytes = static_cast<uint64_t>(c_.row_bytes() + 4 * c_.wire_scale_words());
      const size_t n = static_cast<size_t>(node);
      expect(network.rows_sent[n] == rows && network.bytes_sent[n] == rows * row_bytes,
             "network to node ", node, ": ", network.rows_sent[n], " rows, ", network.bytes_sent[n],
             " bytes, and not ", rows, " of ", row_bytes);
      const uint64_t sum_bytes = 2 * static_cast<uint64_t>(c_.hidden);
      expect(network.rows_combined[n] == rows && network.bytes_combined[n] == rows * sum_bytes,
             "network from node ", node, ": ", network.rows_combined[n], " sums, ",
             network.bytes_combined[n], " bytes, and not ", rows, " of ", sum_bytes);
    }
  }

  // Other places in each round, and on each rank.
  int place(int what) const { return (what + first_place_) % 4; }

  RankEnd& end_;
  const Case& c_;
  const Expected& want_;
  const size_t rank_;
  const uint64_t ticket_;
  const int handle_;
  const int first_place_;
};

std::vector<Expected> expect_rounds(const Case& c) {
  std::vector<Expected> want = {expect_round(c, 0), expect_round(c, 1)};
  for (size_t round = 0; round < want.size(); round++) {
    for (size_t rank = 0; rank < static_cast<size_t>(c.ranks); rank++) {
      want[round].inputs_so_far.emplace_back();
      for (size_t before = 0; before <= round; before++) {
        want[round].inputs_so_far.back().push_back(want[before].inputs[rank]);
      }
    }
  }
  return want;
}

void round_trip(Ranks& ranks, const Case& c, const std::vector<Expected>& want) {
  for (uint64_t round = 0; round < want.size(); round++) {
    ranks.run([&](RankEnd& end) { RoundTrip(end, c, want[round], round).run(); });
  }
}

void round_trip(const Case& c, const std::vector<Expected>& want) {
  World world(c);
  round_trip(world, c, want);
}

// Four ranks, eight experts, two choices, as small as routing gets.
Case tiny() {
  Case c;
  c.ranks = 4;
  c.experts = 8;
  c.topk = 2;
  c.hidden = 8;
  c.tokens = {3, 0, 1, 5};
  return c;
}

}  // namespace

void round_trips(Ranks& ranks, const Case& c) { round_trip(ranks, c, expect_rounds(c)); }

void run_round_trips(Suite& suite, const Case& original, const std::vector<int>& paths) {
  const std::vector<Expected> want = expect_rounds(original);
  for (int path : paths) {
    Case c = original;
    c.copy_path = path;
    suite.run("round trip: " + c.describe(), [&] { round_trip(c, want); });
  }
  Case c = original;
  c.arena = true;
  suite.run("round trip in an arena: " + c.describe(), [&] { round_trip(c, want); });
}

void round_trip_tests(Suite& suite, bool single_rank) {
  auto run = [&](const Case& c, const std::vector<int>& paths) {
    run_round_trips(suite, c, paths);
  };
  const std::vector<int> both = {EP4J_COPY_AUTO, EP4J_COPY_LOAD_STORE};
  Case single;
  single.ranks = 1;
  single.tokens = {37};
  std::vector<Case> bases = {single};
  if (!single_rank) {
    bases.push_back(tiny());
    Case wide;  // rows of several chunks in combine and of one in dispatch
    wide.ranks = 3;
    wide.experts = 12;
    wide.topk = 4;
    wide.hidden = 7168;
    wide.tokens = {20, 7, 13};
    bases.push_back(wide);
  }
  for (const Case& base : bases) {
    for (const Case& c : variants_of(base)) {
      run(c, both);
    }
  }
  if (single_rank) {
    return;
  }
  for (const Case& c : crowded()) {
    run(c, both);
  }
  for (uint64_t seed = 1; seed <= 60; seed++) {
    const int counts[] = {1, 2, 3, 4, 5, 8};
    Case c = awkward(seed, counts[seed % 6]);
    run(c, {seed % 4 == 0 ? EP4J_COPY_LOAD_STORE : EP4J_COPY_AUTO});
  }
  Case long_rows;  // rows longer than a stage, with and without a cast
  long_rows.hidden = 20480;
  long_rows.tokens = {9, 14};
  run(long_rows, both);
  long_rows.cast = EP4J_CAST_UE8M0;
  run(long_rows, both);
  Case many;  // the widest token, and more ranks than a node has
  many.ranks = 16;
  many.experts = 64;
  many.topk = 32;
  many.tokens.assign(16, 6);
  run(many, both);
  many.order = EP4J_EXPERT_MAJOR;
  run(many, both);
}

}  // namespace ep4j::test
