// How the benchmark measures an operation, and the table and JSON that it writes.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "world.hpp"

namespace ep4j::test {

constexpr int kBenchHidden = 7168;
constexpr int kBenchTokens = 4096;

struct Spread {
  double median;
  double p90;
  double least;
};

// Times one operation that every rank issues; issue(rank) enqueues it on the rank's stream,
// after(rank) what has to follow outside the timing.
class Timer {
 public:
  explicit Timer(const std::vector<cudaStream_t>& streams);
  ~Timer();
  Timer(const Timer&) = delete;

  // On the GPU: all streams begin at one moment, and the slowest counts.
  Spread gpu(const std::function<void(int)>& issue, const std::function<void(int)>& after);

  // On the host, with an idle GPU: what issue(0) takes to return. For a group of one rank.
  Spread host(const std::function<void(int)>& issue, const std::function<void(int)>& after);

 private:
  double gpu_once(const std::function<void(int)>& issue);
  double host_once(const std::function<void(int)>& issue);

  std::vector<cudaStream_t> streams_;
  std::vector<cudaEvent_t> events_;
  ep4j_gate* gate_ = nullptr;
};

class Report {
 public:
  // bytes give GB/s; 0 where time alone counts.
  void add(const std::string& name, int ranks, int sms, const Spread& spread, double bytes);

  void write(const char* path, const std::string& commit) const;

 private:
  std::vector<std::string> lines_;
};

}  // namespace ep4j::test
