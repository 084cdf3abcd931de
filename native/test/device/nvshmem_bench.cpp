// Low-latency pairs over NVSHMEM, H 7168, top-8, ranks as processes on one device: within reach,
// and as over a network. FP8 dispatch and zero-copy combine, one launch per operation, as the
// low-latency benchmark of threads has them; but no gate holds processes, which meet on the host
// before each sample: what they begin apart is in the figure. Verified against the oracle before
// and after.
#include <algorithm>
#include <fstream>

#include "nvshmem_test.hpp"

namespace ep4j::test {
namespace {

constexpr int kHidden = 7168;
constexpr int kTopk = 8;
constexpr int kBatch = 20;
constexpr int kWarmUps = 10;
constexpr int kSamples = 60;

struct Shape {
  int tokens;
  int experts;
  int ranks;
};

class PairBench {
 public:
  PairBench(PeGroup& group, const Shape& shape, bool forced)
      : group_(group),
        c_(make_case(shape)),
        config_(low_latency_config(c_)),
        plan_(low_latency_plan(c_, 0)),
        world_(group, c_, &config_, {forced, false}),
        rank_(world_.end(), c_, config_),
        tensors_(rank_.upload(plan_)) {
    ok(cudaEventCreate(&begin_), "making an event");
    ok(cudaEventCreate(&end_), "making an event");
    verify();
  }

  // Sorted, in microseconds per pair, of the slowest rank.
  std::vector<double> run() {
    std::vector<double> micros;
    for (int i = 0; i < kWarmUps + kSamples; i++) {
      const std::vector<double> all = group_.exchange(sample());
      if (i >= kWarmUps) {
        micros.push_back(*std::max_element(all.begin(), all.end()));
      }
    }
    rank_.check(tensors_, plan_, Outputs::kStaged);
    verify();
    std::sort(micros.begin(), micros.end());
    return micros;
  }

 private:
  static Case make_case(const Shape& shape) {
    Case c = low_latency_case(shape.ranks, shape.experts, kTopk, kHidden,
                              std::vector<int>(static_cast<size_t>(shape.ranks), shape.tokens));
    c.pattern = Pattern::kFull;
    c.cast = EP4J_CAST_PLAIN;
    return c;
  }

  void verify() {
    ep4j_low_latency_result result = rank_.dispatch(rank_.dispatch_call(tensors_, 0, 0, false));
    rank_.check(result, plan_.received[static_cast<size_t>(group_.rank())]);
    y_ = result.y;
    const size_t bytes = static_cast<size_t>(c_.local_experts()) *
                         static_cast<size_t>(c_.ranks * config_.max_tokens) * kHidden * 2;
    ok(cudaMemcpy(y_, tensors_.y, bytes, cudaMemcpyDeviceToDevice), "writing y");
    combine();
    rank_.release(0);
    rank_.check(tensors_, plan_, Outputs::kStaged);
    world_.end().expect_no_fault();
  }

  void combine() {
    ep4j_low_latency_combine_call call =
        rank_.combine_call(tensors_, 0, 0, Outputs::kStaged, false);
    call.y = y_;
    ok(ep4j_low_latency_combine(world_.end().buffer, &call, world_.end().stream), "combine");
  }

  double sample() {
    RankEnd& end = world_.end();
    end.sync();
    group_.meet();
    ok(cudaEventRecord(begin_, end.stream), "recording");
    for (int i = 0; i < kBatch; i++) {
      rank_.dispatch(rank_.dispatch_call(tensors_, 0, 0, false));
      combine();
      rank_.release(0);
    }
    ok(cudaEventRecord(end_, end.stream), "recording");
    end.sync();
    float millis = 0;
    ok(cudaEventElapsedTime(&millis, begin_, end_), "reading");
    return millis * 1e3 / kBatch;
  }

  PeGroup& group_;
  const Case c_;
  const ep4j_low_latency_config config_;
  const LowLatencyPlan plan_;
  PeWorld world_;
  LowLatencyRank rank_;
  LowLatencyRank::Tensors tensors_;
  void* y_ = nullptr;
  cudaEvent_t begin_ = nullptr;
  cudaEvent_t end_ = nullptr;
};

std::string line(const Shape& shape, bool forced, const std::vector<double>& micros) {
  return join("    {\"name\": \"pair FP8 fused, NVSHMEM ",
              forced ? "as over a network" : "within reach", "\", \"tokens\": ", shape.tokens, ", \"experts\": ", shape.experts,
              ", \"ranks\": ", shape.ranks, ", \"medianMicros\": ", micros[micros.size() / 2],
              ", \"p99Micros\": ", micros[micros.size() * 99 / 100],
              ", \"leastMicros\": ", micros.front(), "}");
}

}  // namespace

void bench_nvshmem(PeGroup& group, const char* path, const std::string& commit) {
  std::vector<std::string> lines;
  for (const Shape& shape : {Shape{64, 64, 2}, Shape{64, 32, 2}, Shape{16, 64, 2}, Shape{32, 32, 4},
                             Shape{128, 64, 2}}) {
    if (shape.ranks != group.ranks()) {
      continue;
    }
    for (bool forced : {false, true}) {
      lines.push_back(line(shape, forced, PairBench(group, shape, forced).run()));
      if (group.rank() == 0) {
        std::printf("%s\n", lines.back().c_str());
        std::fflush(stdout);
      }
    }
  }
  if (group.rank() != 0) {
    return;
  }
  ep4j_device device = {};
  device.struct_size = sizeof device;
  ok(ep4j_device_info(0, &device), "describing the device");
  std::ofstream out(path);
  out << "{\n  \"benchmark\": \"native low latency over NVSHMEM\",\n  \"commit\": \"" << commit
      << "\",\n  \"device\": \"" << device.name << "\",\n  \"sms\": " << device.num_sms
      << ",\n  \"driver\": " << device.driver_version
      << ",\n  \"runtime\": " << device.runtime_version << ",\n  \"hidden\": " << kHidden
      << ",\n  \"topk\": " << kTopk << ",\n  \"operationsPerSample\": " << kBatch
      << ",\n  \"samples\": " << kSamples
      << ",\n  \"ranks\": \"processes on one device, which share its multiprocessors evenly\","
      << "\n  \"results\": [\n";
  for (size_t i = 0; i < lines.size(); i++) {
    out << lines[i] << (i + 1 < lines.size() ? ",\n" : "\n");
  }
  out << "  ]\n}\n";
}

}  // namespace ep4j::test
