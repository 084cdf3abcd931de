#include "bench_report.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>

namespace ep4j::test {
namespace {

constexpr int kWarmUps = 5;
constexpr int kIterations = 50;
constexpr int64_t kGateNanos = 10'000'000'000;

Spread spread_of(std::vector<double> micros) {
  std::sort(micros.begin(), micros.end());
  return {micros[micros.size() / 2], micros[micros.size() * 9 / 10], micros.front()};
}

Spread repeat(const std::function<double()>& once) {
  std::vector<double> micros;
  for (int i = 0; i < kWarmUps + kIterations; i++) {
    double value = once();
    if (i >= kWarmUps) {
      micros.push_back(value);
    }
  }
  return spread_of(micros);
}

}  // namespace

Timer::Timer(const std::vector<cudaStream_t>& streams) : streams_(streams) {
  for (size_t i = 0; i < 2 * streams.size(); i++) {
    events_.emplace_back();
    ok(cudaEventCreate(&events_.back()), "making an event");
  }
  ok(ep4j_gate_create(0, &gate_), "making the gate");
}

Timer::~Timer() {
  for (cudaEvent_t event : events_) {
    cudaEventDestroy(event);
  }
  ep4j_gate_destroy(gate_);
}

Spread Timer::gpu(const std::function<void(int)>& issue, const std::function<void(int)>& after) {
  return repeat([&] {
    double slowest = gpu_once(issue);
    for (size_t rank = 0; rank < streams_.size(); rank++) {
      after(static_cast<int>(rank));
    }
    return slowest;
  });
}

Spread Timer::host(const std::function<void(int)>& issue, const std::function<void(int)>& after) {
  return repeat([&] {
    double micros = host_once(issue);
    for (size_t rank = 0; rank < streams_.size(); rank++) {
      after(static_cast<int>(rank));
    }
    return micros;
  });
}

double Timer::gpu_once(const std::function<void(int)>& issue) {
  ok(ep4j_gate_set(gate_, 0), "shutting the gate");
  for (cudaStream_t stream : streams_) {
    ok(ep4j_gate_hold(gate_, 0, kGateNanos, stream), "holding a stream");
  }
  for (size_t rank = 0; rank < streams_.size(); rank++) {
    ok(cudaEventRecord(events_[2 * rank], streams_[rank]), "recording");
    issue(static_cast<int>(rank));
    ok(cudaEventRecord(events_[2 * rank + 1], streams_[rank]), "recording");
  }
  ok(ep4j_gate_set(gate_, 1), "opening the gate");
  ok(cudaDeviceSynchronize(), "running");
  double slowest = 0;
  for (size_t rank = 0; rank < streams_.size(); rank++) {
    float millis = 0;
    ok(cudaEventElapsedTime(&millis, events_[2 * rank], events_[2 * rank + 1]), "reading");
    slowest = std::max(slowest, millis * 1e3);
  }
  return slowest;
}

double Timer::host_once(const std::function<void(int)>& issue) {
  ok(cudaDeviceSynchronize(), "coming to rest");
  auto begin = std::chrono::steady_clock::now();
  issue(0);
  std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - begin;
  ok(cudaDeviceSynchronize(), "running");
  return took.count();
}

void Report::add(const std::string& name, int ranks, int sms, const Spread& spread, double bytes) {
  const double rate = bytes / spread.median / 1e3;
  std::printf("%-34s %d x %2d SMs  %8.1f us (p90 %.1f, least %.1f)", name.c_str(), ranks, sms,
              spread.median, spread.p90, spread.least);
  std::printf(bytes > 0 ? "  %7.0f GB/s\n" : "\n", rate);
  std::fflush(stdout);
  lines_.push_back(join("    {\"name\": \"", name, "\", \"ranks\": ", ranks, ", \"sms\": ", sms,
                        ", \"medianMicros\": ", spread.median, ", \"p90Micros\": ", spread.p90,
                        ", \"leastMicros\": ", spread.least,
                        ", \"gigabytesPerSecond\": ", bytes > 0 ? rate : 0.0, "}"));
}

void Report::write(const char* path, const std::string& commit) const {
  ep4j_device device = {};
  device.struct_size = sizeof device;
  ok(ep4j_device_info(0, &device), "describing the device");
  std::ofstream out(path);
  out << "{\n  \"benchmark\": \"native normal mode\",\n  \"commit\": \"" << commit
      << "\",\n  \"device\": \"" << device.name << "\",\n  \"sms\": " << device.num_sms
      << ",\n  \"driver\": " << device.driver_version
      << ",\n  \"runtime\": " << device.runtime_version << ",\n  \"hidden\": " << kBenchHidden
      << ",\n  \"tokens\": " << kBenchTokens
      << ",\n  \"topk\": 8,\n  \"experts\": 256,\n  \"iterations\": " << kIterations
      << ",\n  \"l2\": \"not flushed\",\n  \"ranks\": \"streams of one process on one device\","
      << "\n  \"results\": [\n";
  for (size_t i = 0; i < lines_.size(); i++) {
    out << lines_[i] << (i + 1 < lines_.size() ? ",\n" : "\n");
  }
  out << "  ]\n}\n";
}

}  // namespace ep4j::test
