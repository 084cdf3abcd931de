// Many short rounds with random delays per rank, every row checked: low-latency calls of all forms
// and normal ones on one buffer, in an order that all ranks draw alike. And a captured graph,
// replayed with changed routing, with eager calls between.
#include <chrono>
#include <thread>

#include "low_latency_forms.hpp"

namespace ep4j::test {
namespace {

constexpr size_t kRoutings = 6;

// What all ranks draw alike in a round.
uint64_t draw(int round, uint64_t what, uint64_t choices) {
  return mix(static_cast<uint64_t>(round), what) % choices;
}

class Soak {
 public:
  Soak(RankEnd& end, const Case& c, const std::vector<std::vector<LowLatencyPlan>>& plans,
       bool normal)
      : c_(c), rank_(end, c, low_latency_config(c)), plans_(plans), normal_(normal) {
    for (const LowLatencyPlan& plan : plans[0]) {
      tensors_.push_back(rank_.upload(plan));
    }
  }

  void run(int rounds) {
    for (int round = 0; round < rounds; round++) {
      pause(round);
      if (normal_ && draw(round, 1, 4) == 0) {
        normal_round(round);
      } else {
        low_latency_round(round);
      }
    }
    rank_.end.expect_no_fault();
  }

 private:
  // Up to a quarter of a millisecond, different on each rank.
  void pause(int round) const {
    uint64_t bits = mix(99, static_cast<uint64_t>(round), static_cast<uint64_t>(rank_.end.rank));
    if (bits % 3 == 0) {
      std::this_thread::sleep_for(std::chrono::microseconds(bits / 3 % 250));
    }
  }

  void low_latency_round(int round) {
    const size_t cast = draw(round, 2, 4);
    const size_t first = draw(round, 3, kRoutings);
    const bool two = draw(round, 4, 2) == 0;
    const bool hook = draw(round, 5, 2) == 0;
    const Case& c = plans_case(cast);
    Case shape = c;
    LowLatencyRank rank(rank_.end, shape, low_latency_config(c_));
    const size_t routings[2] = {first, (first + 1) % kRoutings};
    ep4j_low_latency_result results[2];
    const int count = two ? 2 : 1;
    for (int i = 0; i < count; i++) {
      ep4j_low_latency_dispatch_call call =
          rank.dispatch_call(tensors_[routings[i]], i, hook ? -1 : i, hook);
      results[i] = rank.dispatch(call);
    }
    pause(round + 1);
    for (int i = 0; hook && i < count; i++) {
      rank.receive_dispatch((i + round) % count);
    }
    for (int i = 0; i < count; i++) {
      rank.check(results[i],
                 plans_[cast][routings[i]].received[static_cast<size_t>(rank.end.rank)]);
    }
    const Outputs outputs = static_cast<Outputs>(draw(round, 6, 4));
    for (int i = 0; i < count; i++) {
      const LowLatencyRank::Tensors& tensors = tensors_[routings[i]];
      rank.combine(rank.combine_call(tensors, i, i, outputs, hook), tensors, outputs);
    }
    pause(round + 2);
    for (int i = 0; i < count; i++) {
      if (hook) {
        rank.receive_combine((i + round) % count);
      }
    }
    for (int i = 0; i < count; i++) {
      rank.check(tensors_[routings[i]], plans_[0][routings[i]], outputs);
      rank.release(i);
    }
  }

  Case plans_case(size_t cast) const {
    Case c = c_;
    c.cast = static_cast<int>(cast);
    return c;
  }

  // A bounded dispatch, expert-major as the low-latency ones, and its combine.
  void normal_round(int round) {
    RankEnd& end = rank_.end;
    const size_t routing = draw(round, 3, kRoutings);
    const Received& want = plans_[0][routing].received[static_cast<size_t>(end.rank)];
    ep4j_dispatch_call call =
        ep4j::test::dispatch_call(c_, end.rank, tensors_[routing].input, 0, 0, 0);
    call.num_sms = 2 + end.rank;
    ep4j_dispatch_result result = {};
    result.struct_size = sizeof result;
    ok(ep4j_dispatch(end.buffer, &call, &result, end.stream), "dispatch");
    ok(ep4j_dispatch_receive(end.buffer, 0, kTimeoutNanos, end.stream), "receive");
    expect_same(c_, read_result(end, c_, result, want.num_received, true), want, true);
    ok(ep4j_region_release(end.buffer, 0, end.stream), "releasing");
  }

  const Case& c_;
  LowLatencyRank rank_;
  const std::vector<std::vector<LowLatencyPlan>>& plans_;  // [cast][routing]
  const bool normal_;
  std::vector<LowLatencyRank::Tensors> tensors_;
};

void soak(const Case& c, int rounds) {
  const std::vector<std::vector<LowLatencyPlan>> plans = soak_plans(c);
  World world = low_latency_world(c, low_latency_config(c));
  world.run([&](RankEnd& end) { soak_rank(end, c, plans, rounds, true); });
}

template <class T>
void overwrite(RankEnd& end, const void* device, const std::vector<T>& values) {
  end.sync();
  ok(cudaMemcpyAsync(const_cast<void*>(device), values.data(), sizeof(T) * values.size(),
                     cudaMemcpyHostToDevice, end.stream),
     "changing inputs");
  end.sync();
}

// Three dispatches and combines in a graph, fused or in halves; the number is odd, so that inboxes
// take turns from replay to replay.
class Graph {
 public:
  Graph(LowLatencyRank& rank, const LowLatencyRank::Tensors& tensors, bool hook)
      : rank_(rank), tensors_(tensors), hook_(hook) {}

  void capture() {
    RankEnd& end = rank_.end;
    ok(cudaStreamBeginCapture(end.stream, cudaStreamCaptureModeThreadLocal), "capturing");
    for (int i = 0; i < 3; i++) {
      result_ = rank_.dispatch(rank_.dispatch_call(tensors_, 0, -1, hook_));
      if (hook_) {
        rank_.receive_dispatch(0);
      }
      ep4j_low_latency_combine_call call =
          rank_.combine_call(tensors_, 0, 0, Outputs::kStaged, hook_);
      ok(ep4j_low_latency_combine(end.buffer, &call, end.stream), "combine");
      if (hook_) {
        rank_.receive_combine(0);
      }
      if (i < 2) {
        rank_.release(0);
      }
    }
    ok(cudaStreamEndCapture(end.stream, &graph_), "ending the capture");
    ok(cudaGraphInstantiate(&exec_, graph_, 0), "instantiating");
  }

  void replay() { ok(cudaGraphLaunch(exec_, rank_.end.stream), "replaying"); }
  const ep4j_low_latency_result& result() const { return result_; }

  void destroy() {
    ok(cudaGraphExecDestroy(exec_), "destroying");
    ok(cudaGraphDestroy(graph_), "destroying");
  }

 private:
  LowLatencyRank& rank_;
  const LowLatencyRank::Tensors& tensors_;
  const bool hook_;
  ep4j_low_latency_result result_ = {};
  cudaGraph_t graph_ = nullptr;
  cudaGraphExec_t exec_ = nullptr;
};

void replays(const Case& c, bool hook, int count) {
  std::vector<LowLatencyPlan> plans;
  for (uint64_t i = 0; i < kRoutings; i++) {
    plans.push_back(low_latency_plan(c, i));
  }
  World world = low_latency_world(c, low_latency_config(c));
  world.run([&](RankEnd& end) {
    const size_t r = static_cast<size_t>(end.rank);
    LowLatencyRank rank(end, c, low_latency_config(c));
    LowLatencyRank::Tensors captured = rank.upload(plans[0]);
    LowLatencyRank::Tensors eager = rank.upload(plans[0]);
    std::vector<LowLatencyRank::Tensors> sources;
    for (const LowLatencyPlan& plan : plans) {
      sources.push_back(rank.upload(plan));
    }
    const size_t y_bytes = static_cast<size_t>(c.local_experts()) *
                           static_cast<size_t>(c.ranks * (c.max_tokens() + 3)) *
                           static_cast<size_t>(c.hidden) * 2;
    Graph graph(rank, captured, hook);
    graph.capture();
    for (int i = 0; i < count; i++) {
      const size_t now = static_cast<size_t>(i) % kRoutings;
      overwrite(end, captured.input.x, plans[now].inputs[r].x);
      overwrite(end, captured.input.topk_idx, plans[now].inputs[r].topk_idx);
      overwrite(end, captured.input.topk_weights, plans[now].inputs[r].topk_weights);
      ok(cudaMemcpyAsync(captured.y, sources[now].y, y_bytes, cudaMemcpyDeviceToDevice, end.stream),
         "changing y");
      end.sync();
      graph.replay();
      rank.check(graph.result(), plans[now].received[r]);
      rank.check(captured, plans[now], Outputs::kStaged);
      if (i % 3 == 0) {
        ep4j_low_latency_result result = rank.dispatch(rank.dispatch_call(eager, 1, -1, false));
        rank.check(result, plans[0].received[r]);
        rank.combine(rank.combine_call(eager, 1, 1, Outputs::kStaged, false), eager,
                     Outputs::kStaged);
        rank.check(eager, plans[0], Outputs::kStaged);
        rank.release(1);
      }
    }
    end.expect_no_fault();
    graph.destroy();
  });
}

}  // namespace

std::vector<std::vector<LowLatencyPlan>> soak_plans(const Case& c) {
  std::vector<std::vector<LowLatencyPlan>> plans;
  for (int cast = 0; cast < 4; cast++) {
    Case shape = c;
    shape.cast = cast;
    plans.emplace_back();
    for (size_t routing = 0; routing < kRoutings; routing++) {
      plans.back().push_back(low_latency_plan(shape, routing, cast == 0));
    }
  }
  return plans;
}

void soak_rank(RankEnd& end, const Case& c,
               const std::vector<std::vector<LowLatencyPlan>>& plans, int rounds, bool normal) {
  Soak(end, c, plans, normal).run(rounds);
}

void low_latency_soak_tests(Suite& suite, int rounds) {
  for (bool hook : {false, true}) {
    Case c = low_latency_case(3, 12, 3, 256, {19, 8, 30});
    c.cast = EP4J_CAST_UE8M0;
    suite.run(join("low latency: 60 replays of a graph, ", hook ? "hook, " : "fused, ",
                   c.describe()),
              [=] { replays(c, hook, 60); });
  }
  for (int ranks : {2, 3, 4}) {
    std::vector<int> tokens(static_cast<size_t>(ranks), 24);
    tokens[0] = 7;
    for (int path : {EP4J_COPY_AUTO, EP4J_COPY_LOAD_STORE}) {
      Case c = low_latency_case(ranks, 4 * ranks, 3, 512, tokens);
      c.copy_path = path;
      const int share = path == EP4J_COPY_AUTO ? rounds : rounds / 4;
      suite.run(join("low latency: ", share, " alternating rounds with delays, ", c.describe()),
                [=] { soak(c, share); });
    }
  }
}

}  // namespace ep4j::test
