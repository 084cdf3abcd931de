// Many short rounds with random delays per rank, every row checked. Rounds come back to back, one
// or two results open, receives at once or late, counted and cached in turn, combines received at once
// or only after the next dispatch, on each rank as it likes: what makes ordering faults show.
#include <chrono>
#include <thread>

#include "suites.hpp"

namespace ep4j::test {
namespace {

constexpr size_t kRoutings = 16;

struct Plan {
  Case c;
  std::vector<std::vector<RankInput>> inputs;   // [routing][rank]
  std::vector<std::vector<Received>> received;  // [routing][rank]
  std::vector<std::vector<CombineInput>> y;     // [routing][rank]
  std::vector<std::vector<Combined>> combined;  // [routing][rank]
};

Plan make_plan(const Case& c) {
  Plan plan;
  plan.c = c;
  for (uint64_t routing = 0; routing < kRoutings; routing++) {
    plan.inputs.push_back(make_inputs(c, routing));
    plan.received.emplace_back();
    plan.y.emplace_back();
    plan.combined.emplace_back();
    for (int rank = 0; rank < c.ranks; rank++) {
      plan.received.back().push_back(expected_dispatch(c, plan.inputs.back(), rank));
      plan.y.back().push_back(
          make_combine_input(c, rank, plan.received.back().back().num_received, routing));
    }
    for (int rank = 0; rank < c.ranks; rank++) {
      plan.combined.back().push_back(
          expected_combine(c, plan.inputs.back(), plan.y.back(), rank, false));
    }
  }
  return plan;
}

class Soak {
 public:
  Soak(RankEnd& end, const Plan& plan) : end_(end), plan_(plan), c_(plan.c) {
    const size_t rank = static_cast<size_t>(end.rank);
    const size_t elements = static_cast<size_t>(c_.tokens[rank]) * static_cast<size_t>(c_.hidden);
    for (size_t routing = 0; routing < kRoutings; routing++) {
      inputs_.push_back(upload_input(end, c_, plan.inputs[routing][rank]));
      y_.push_back(end.upload(plan.y[routing][rank].y));
    }
    out_ = end.upload(std::vector<uint16_t>(elements));
  }

  void run(int rounds) {
    for (int round = 0; round < rounds; round++) {
      pause(round);
      this->round(round);
    }
    receive_combine();
    end_.expect_no_fault();
  }

 private:
  // Up to a quarter of a millisecond, different on each rank.
  void pause(int round) const {
    uint64_t draw = mix(99, static_cast<uint64_t>(round), static_cast<uint64_t>(end_.rank));
    if (draw % 3 == 0) {
      std::this_thread::sleep_for(std::chrono::microseconds(draw / 3 % 250));
    }
  }

  // What all ranks do alike in a round; draws that may differ by rank use pause().
  void round(int round) {
    const size_t routing = mix(7, static_cast<uint64_t>(round)) % kRoutings;
    const bool again = mix(8, static_cast<uint64_t>(round)) % 2 == 0;
    const uint64_t ticket = static_cast<uint64_t>(round) + 1;
    const int handle = round % 2;
    ep4j_dispatch_call call = dispatch_call(c_, end_.rank, inputs_[routing], 0, handle, ticket);
    ep4j_dispatch_result first = issue(call);
    std::vector<int32_t> per_expert;
    ep4j_counts counts = await_counts(end_, c_, ticket, per_expert);
    ep4j_dispatch_result second = {};
    if (again) {
      second = issue(cached_call(c_, end_.rank, inputs_[routing], 1, handle));
    }
    pause(round + 1);
    if (again && round % 2 == 0) {
      receive(1);
      receive(0);
    } else {
      receive(0);
      if (again) {
        receive(1);
      }
    }
    const Received& want = plan_.received[routing][static_cast<size_t>(end_.rank)];
    expect_same(c_, read_result(end_, c_, first, counts.num_received, true), want, true);
    ok(ep4j_region_release(end_.buffer, 0, end_.stream), "releasing");
    if (again) {
      expect_same(c_, read_result(end_, c_, second, want.num_received, false), want, false);
      ok(ep4j_region_release(end_.buffer, 1, end_.stream), "releasing");
    }
    receive_combine();
    const uint64_t draw = mix(9, static_cast<uint64_t>(round), static_cast<uint64_t>(end_.rank));
    combine(routing, round, draw % 4 == 0);
    if (draw % 2 == 0) {
      pause(round + 2);
      receive_combine();
    }
  }

  void combine(size_t routing, int round, bool receive_follows) {
    ep4j_combine_call call = {};
    call.struct_size = sizeof call;
    call.y = y_[routing];
    call.handle = round % 2;
    call.output = round % 2;
    call.rows = plan_.received[routing][static_cast<size_t>(end_.rank)].num_received;
    call.hidden = c_.hidden;
    call.timeout_nanos = kTimeoutNanos;
    call.receive_follows = receive_follows;
    ok(ep4j_combine(end_.buffer, &call, end_.stream), "combine");
    sent_ = {true, routing, round % 2};
  }

  // The last combine, if it was not received.
  void receive_combine() {
    if (!sent_.open) {
      return;
    }
    sent_.open = false;
    ep4j_combine_receive_call receive = {};
    receive.struct_size = sizeof receive;
    receive.out = out_;
    receive.handle = sent_.turn;
    receive.output = sent_.turn;
    receive.hidden = c_.hidden;
    receive.num_sms = 2;
    receive.timeout_nanos = kTimeoutNanos;
    ok(ep4j_combine_receive(end_.buffer, &receive, end_.stream), "combine receive");
    Combined got;
    const Combined& want = plan_.combined[sent_.routing][static_cast<size_t>(end_.rank)];
    got.out = end_.download<uint16_t>(out_, want.out.size());
    expect_same(c_, got, want, false);
  }

  ep4j_dispatch_result issue(const ep4j_dispatch_call& call) {
    ep4j_dispatch_result result = {};
    result.struct_size = sizeof result;
    ok(ep4j_dispatch(end_.buffer, &call, &result, end_.stream), "dispatch");
    return result;
  }

  void receive(int region) {
    ok(ep4j_dispatch_receive(end_.buffer, region, kTimeoutNanos, end_.stream), "receive");
  }

  RankEnd& end_;
  const Plan& plan_;
  const Case& c_;
  std::vector<DeviceInput> inputs_;
  std::vector<uint16_t*> y_;
  uint16_t* out_ = nullptr;
  struct {
    bool open;
    size_t routing;
    int turn;  // its handle and output
  } sent_ = {};
};

}  // namespace

void soak(Ranks& ranks, const Case& c, int rounds) {
  Plan plan = make_plan(c);
  ranks.run([&](RankEnd& end) { Soak(end, plan).run(rounds); });
}

void soak(const Case& c, int rounds) {
  World world(c);
  soak(world, c, rounds);
}

void soak_tests(Suite& suite, int rounds) {
  for (int ranks : {2, 3, 4}) {
    for (int path : {EP4J_COPY_AUTO, EP4J_COPY_LOAD_STORE}) {
      Case c;
      c.ranks = ranks;
      c.experts = 4 * ranks;
      c.topk = 3;
      c.hidden = 512;
      c.tokens.assign(static_cast<size_t>(ranks), 24);
      c.tokens[0] = 7;
      c.copy_path = path;
      const int share = path == EP4J_COPY_AUTO ? rounds : rounds / 4;
      suite.run(join("soak: ", share, " short rounds with delays, ", c.describe()),
                [=] { soak(c, share); });
    }
  }
}

}  // namespace ep4j::test
