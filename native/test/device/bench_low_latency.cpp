// Low-latency mode, H 7168, top-8, ranks as streams of one process on one device.
//
// Every stream waits behind a gate until all launches of a sample are queued. A sample is ten
// operations back to back; its time, from an event behind the gate to one behind the last
// operation, is the slowest rank's, divided by ten. Figures are the median and the 99th percentile
// of 100 samples. Combine is zero-copy: expert outputs lie where peers read them, in memory that
// the dispatch has made sure of. Every pair uses the region and the output that the last one has
// released, as a decoder does. Data is not flushed from L2. Rows and sums are verified against the
// oracle before and after.
//
//   pair, fused   one launch per operation: dispatch, combine
//   pair, hook    two launches per operation
//   pair, graph   the fused pairs of a sample as one captured graph
//   dispatch      alone, fused
//   … SMs         the fused pair on fewer multiprocessors
//   combine       alone, fused, staged: a copy to where peers read is part of it
#include "bench_low_latency.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>

#include "low_latency.hpp"

namespace ep4j::test {
namespace {

constexpr int kHidden = 7168;
constexpr int kTopk = 8;
constexpr int kBatch = 10;
constexpr int kWarmUps = 20;
constexpr int kSamples = 100;
constexpr int64_t kGateNanos = 10'000'000'000;

struct Micros {
  double median;
  double p99;
  double least;
};

// Ranks with one routing, ready to dispatch and combine it over and over.
class Team {
 public:
  Team(int tokens, int experts, int ranks, int cast, int num_sms = 0)
      : c_(shape(tokens, experts, ranks, cast, num_sms)),
        config_(low_latency_config(c_)),
        plan_(low_latency_plan(c_, 0)),
        world_(low_latency_world(c_, config_)) {
    ok(ep4j_gate_create(0, &gate_), "making the gate");
    for (int rank = 0; rank < ranks; rank++) {
      ranks_.emplace_back(world_.end(rank), c_, config_);
      tensors_.push_back(ranks_.back().upload(plan_));
      events_.push_back({});
      ok(cudaEventCreate(&events_.back().begin), "making an event");
      ok(cudaEventCreate(&events_.back().end), "making an event");
    }
    verify();
  }
  ~Team() {
    for (Events& events : events_) {
      cudaEventDestroy(events.begin);
      cudaEventDestroy(events.end);
    }
    ep4j_gate_destroy(gate_);
  }
  Team(const Team&) = delete;

  void dispatch(int rank, int turn, int output, bool hook) {
    LowLatencyRank& end = ranks_[static_cast<size_t>(rank)];
    end.dispatch(end.dispatch_call(tensors_[static_cast<size_t>(rank)], turn, output, hook));
    if (hook) {
      end.receive_dispatch(turn);
    }
  }

  // y null: staged from the rank's own tensor.
  void combine(int rank, int turn, bool in_place, bool hook) {
    const size_t r = static_cast<size_t>(rank);
    LowLatencyRank& end = ranks_[r];
    ep4j_low_latency_combine_call call =
        end.combine_call(tensors_[r], turn, turn, Outputs::kStaged, hook);
    call.y = in_place ? outputs_[r][turn] : call.y;
    ok(ep4j_low_latency_combine(end.end.buffer, &call, end.end.stream), "combine");
    if (hook) {
      end.receive_combine(turn);
    }
  }

  void release(int rank, int turn) { ranks_[static_cast<size_t>(rank)].release(turn); }

  void pair(int rank, int turn, bool hook) {
    LowLatencyRank& end = ranks_[static_cast<size_t>(rank)];
    dispatch(rank, turn, hook ? -1 : turn, hook);
    if (hook) {
      void* y = nullptr;
      ok(ep4j_low_latency_combine_input(end.end.buffer, turn, kTimeoutNanos, &y, end.end.stream),
         "combine input");
    }
    combine(rank, turn, true, hook);
    release(rank, turn);
  }

  // Dispatches and combines once in each region and output, and checks everything; leaves expert
  // outputs in both outputs.
  void verify() {
    outputs_.assign(ranks_.size(), {nullptr, nullptr});
    for (int turn = 0; turn < 2; turn++) {
      std::vector<ep4j_low_latency_result> results(ranks_.size());
      for (size_t r = 0; r < ranks_.size(); r++) {
        LowLatencyRank& rank = ranks_[r];
        results[r] = rank.dispatch(rank.dispatch_call(tensors_[r], turn, turn, false));
        outputs_[r][turn] = static_cast<uint16_t*>(results[r].y);
      }
      for (size_t r = 0; r < ranks_.size(); r++) {
        ranks_[r].check(results[r], plan_.received[r]);
        ok(cudaMemcpy(outputs_[r][turn], tensors_[r].y, y_bytes(), cudaMemcpyDeviceToDevice),
           "writing y");
      }
      for (size_t r = 0; r < ranks_.size(); r++) {
        combine(static_cast<int>(r), turn, true, false);
        release(static_cast<int>(r), turn);
      }
      check_sums();
    }
  }

  void check_sums() {
    for (size_t r = 0; r < ranks_.size(); r++) {
      ranks_[r].check(tensors_[r], plan_, Outputs::kStaged);
      ranks_[r].end.expect_no_fault();
    }
  }

  // issue(rank) enqueues a sample of kBatch operations.
  Micros time(const std::function<void(int)>& issue) {
    std::vector<double> micros;
    for (int i = 0; i < kWarmUps + kSamples; i++) {
      const double sample = once(issue);
      if (i >= kWarmUps) {
        micros.push_back(sample);
      }
    }
    std::sort(micros.begin(), micros.end());
    return {micros[micros.size() / 2], micros[micros.size() * 99 / 100], micros.front()};
  }

  RankEnd& end(int rank) { return world_.end(rank); }
  int size() const { return c_.ranks; }

 private:
  struct Events {
    cudaEvent_t begin;
    cudaEvent_t end;
  };

  static Case shape(int tokens, int experts, int ranks, int cast, int num_sms) {
    Case c = low_latency_case(ranks, experts, kTopk, kHidden,
                              std::vector<int>(static_cast<size_t>(ranks), tokens));
    c.pattern = Pattern::kFull;
    c.cast = cast;
    c.num_sms = num_sms;
    return c;
  }

  size_t y_bytes() const {
    return static_cast<size_t>(c_.local_experts()) *
           static_cast<size_t>(c_.ranks * config_.max_tokens) * kHidden * 2;
  }

  double once(const std::function<void(int)>& issue) {
    ok(ep4j_gate_set(gate_, 0), "shutting the gate");
    for (int rank = 0; rank < c_.ranks; rank++) {
      ok(ep4j_gate_hold(gate_, 0, kGateNanos, end(rank).stream), "holding a stream");
    }
    for (int rank = 0; rank < c_.ranks; rank++) {
      const Events& events = events_[static_cast<size_t>(rank)];
      ok(cudaEventRecord(events.begin, end(rank).stream), "recording");
      issue(rank);
      ok(cudaEventRecord(events.end, end(rank).stream), "recording");
    }
    ok(ep4j_gate_set(gate_, 1), "opening the gate");
    double slowest = 0;
    for (int rank = 0; rank < c_.ranks; rank++) {
      const Events& events = events_[static_cast<size_t>(rank)];
      end(rank).sync();
      float millis = 0;
      ok(cudaEventElapsedTime(&millis, events.begin, events.end), "reading");
      slowest = std::max(slowest, millis * 1e3 / kBatch);
    }
    return slowest;
  }

  const Case c_;
  const ep4j_low_latency_config config_;
  const LowLatencyPlan plan_;
  World world_;
  std::vector<LowLatencyRank> ranks_;
  std::vector<LowLatencyRank::Tensors> tensors_;
  std::vector<std::array<uint16_t*, 2>> outputs_;
  std::vector<Events> events_;
  ep4j_gate* gate_ = nullptr;
};

class Lines {
 public:
  void add(const std::string& name, int tokens, int experts, int ranks, const Micros& micros,
           double target) {
    std::printf("%-22s %3d tokens, %2d experts, %d ranks  %7.1f us (p99 %.1f, least %.1f)",
                name.c_str(), tokens, experts, ranks, micros.median, micros.p99, micros.least);
    std::printf(target > 0 ? "  target %.0f\n" : "\n", target);
    std::fflush(stdout);
    lines_.push_back(join("    {\"name\": \"", name, "\", \"tokens\": ", tokens, ", \"experts\": ",
                          experts, ", \"ranks\": ", ranks, ", \"medianMicros\": ", micros.median,
                          ", \"p99Micros\": ", micros.p99, ", \"leastMicros\": ", micros.least,
                          ", \"targetMicros\": ", target, "}"));
  }

  void write(const char* path, const std::string& commit) const {
    ep4j_device device = {};
    device.struct_size = sizeof device;
    ok(ep4j_device_info(0, &device), "describing the device");
    std::ofstream out(path);
    out << "{\n  \"benchmark\": \"native low latency\",\n  \"commit\": \"" << commit
        << "\",\n  \"device\": \"" << device.name << "\",\n  \"sms\": " << device.num_sms
        << ",\n  \"driver\": " << device.driver_version
        << ",\n  \"runtime\": " << device.runtime_version << ",\n  \"hidden\": " << kHidden
        << ",\n  \"topk\": " << kTopk << ",\n  \"operationsPerSample\": " << kBatch
        << ",\n  \"samples\": " << kSamples
        << ",\n  \"l2\": \"not flushed\",\n  \"ranks\": \"streams of one process on one device, "
        << "which share its multiprocessors evenly\",\n  \"results\": [\n";
    for (size_t i = 0; i < lines_.size(); i++) {
      out << lines_[i] << (i + 1 < lines_.size() ? ",\n" : "\n");
    }
    out << "  ]\n}\n";
  }

 private:
  std::vector<std::string> lines_;
};

// A sample of fused pairs as one graph per rank.
Micros time_graph(Team& team) {
  std::vector<cudaGraphExec_t> graphs;
  for (int rank = 0; rank < team.size(); rank++) {
    cudaStream_t stream = team.end(rank).stream;
    cudaGraph_t graph;
    ok(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capturing");
    for (int i = 0; i < kBatch; i++) {
      team.pair(rank, 0, false);
    }
    ok(cudaStreamEndCapture(stream, &graph), "ending the capture");
    graphs.emplace_back();
    ok(cudaGraphInstantiate(&graphs.back(), graph, 0), "instantiating");
    ok(cudaGraphUpload(graphs.back(), stream), "uploading the graph");
    ok(cudaGraphDestroy(graph), "destroying");
  }
  Micros micros = team.time([&](int rank) {
    ok(cudaGraphLaunch(graphs[static_cast<size_t>(rank)], team.end(rank).stream), "replaying");
  });
  for (cudaGraphExec_t graph : graphs) {
    ok(cudaGraphExecDestroy(graph), "destroying");
  }
  return micros;
}

void bench_case(Lines& lines, int tokens, int experts, int ranks, double target) {
  auto add = [&](const char* name, const Micros& micros, double limit) {
    lines.add(name, tokens, experts, ranks, micros, limit);
  };
  auto repeat = [](auto operation) {
    return [operation](int rank) {
      for (int i = 0; i < kBatch; i++) {
        operation(rank, 0);
      }
    };
  };
  for (int cast : {EP4J_CAST_PLAIN, EP4J_CAST_NONE}) {
    Team team(tokens, experts, ranks, cast);
    const bool fp8 = cast != EP4J_CAST_NONE;
    const char* type = fp8 ? "FP8" : "BF16";
    add(join("dispatch ", type).c_str(), team.time(repeat([&](int rank, int turn) {
          team.dispatch(rank, turn, -1, false);
          team.release(rank, turn);
        })),
        0);
    if (fp8) {
      for (int rank = 0; rank < ranks; rank++) {
        team.dispatch(rank, 0, -1, false);
      }
      add("combine staged", team.time(repeat([&](int rank, int turn) {
            team.combine(rank, turn, false, false);
          })),
          0);
      team.check_sums();
      for (int rank = 0; rank < ranks; rank++) {
        team.release(rank, 0);
      }
      team.verify();
    }
    add(join("pair ", type, " fused").c_str(),
        team.time(repeat([&](int rank, int turn) { team.pair(rank, turn, false); })),
        fp8 ? target : 0);
    team.check_sums();
    if (fp8) {
      add("pair FP8 hook",
          team.time(repeat([&](int rank, int turn) { team.pair(rank, turn, true); })), 0);
      add("pair FP8 graph", time_graph(team), 0);
      team.check_sums();
    }
    team.verify();
  }
}

// Fused FP8 pairs on some of the multiprocessors that two ranks may have.
void bench_sms(Lines& lines, int tokens, int experts) {
  for (int sms : {12, 24, 36, 48, 60}) {
    Team team(tokens, experts, 2, EP4J_CAST_PLAIN, sms);
    lines.add(join("pair FP8 fused ", sms, " SMs"), tokens, experts, 2, team.time([&](int rank) {
      for (int i = 0; i < kBatch; i++) {
        team.pair(rank, 0, false);
      }
    }),
              0);
    team.check_sums();
  }
}

}  // namespace

void bench_low_latency(const char* path, const std::string& commit) {
  Lines lines;
  bench_case(lines, 64, 64, 2, 33);
  bench_case(lines, 64, 32, 2, 38);
  bench_case(lines, 16, 64, 2, 26);
  bench_case(lines, 32, 32, 4, 40);
  bench_case(lines, 128, 64, 2, 0);
  bench_sms(lines, 16, 64);
  bench_sms(lines, 64, 64);
  lines.write(path, commit);
}

}  // namespace ep4j::test
