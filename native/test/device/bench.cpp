// The table of targets.md, section 2: GPU time of normal mode, ranks as streams of one process on
// one device.
//
// Every stream waits behind a gate until all launches of an iteration are queued, so that launch
// times don't count; time runs from an event behind the gate to one behind the operation; an
// iteration's time is the slowest rank's; the figure is the median of 50 after 5 to warm up. Data
// is not flushed from L2 between iterations; rows of one iteration exceed it. GB/s are per rank:
// rows received (its own included) x row bytes / time; for FP8 a row is H + H/128 * 4 bytes.
// Results are verified before and after.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <numeric>
#include <thread>

#include "bench_kernels.hpp"
#include "world.hpp"

namespace ep4j::test {
namespace {

constexpr int kWarmUps = 5;
constexpr int kIterations = 50;
constexpr int kHidden = 7168;
constexpr int kTokens = 4096;

struct Spread {
  double median;
  double p90;
  double least;
};

Spread spread_of(std::vector<double> micros) {
  std::sort(micros.begin(), micros.end());
  return {micros[micros.size() / 2], micros[micros.size() * 9 / 10], micros.front()};
}

class Gate {
 public:
  Gate() {
    void* memory = nullptr;
    ok(cudaHostAlloc(&memory, sizeof(uint32_t), cudaHostAllocMapped), "allocating the gate");
    open_ = static_cast<volatile uint32_t*>(memory);
  }
  ~Gate() { cudaFreeHost(const_cast<uint32_t*>(open_)); }
  Gate(const Gate&) = delete;

  void shut() { *open_ = 0; }
  void open() { *open_ = 1; }
  const uint32_t* flag() const { return const_cast<const uint32_t*>(open_); }

 private:
  volatile uint32_t* open_;
};

// Times one operation that every rank issues; issue(rank) enqueues it on the rank's stream.
class Timer {
 public:
  explicit Timer(const std::vector<cudaStream_t>& streams) : streams_(streams) {
    for (size_t i = 0; i < 2 * streams.size(); i++) {
      events_.emplace_back();
      ok(cudaEventCreate(&events_.back()), "making an event");
    }
  }
  ~Timer() {
    for (cudaEvent_t event : events_) {
      cudaEventDestroy(event);
    }
  }
  Timer(const Timer&) = delete;

  Spread time(const std::function<void(int)>& issue, const std::function<void(int)>& after) {
    std::vector<double> micros;
    for (int i = 0; i < kWarmUps + kIterations; i++) {
      double slowest = once(issue);
      for (size_t rank = 0; rank < streams_.size(); rank++) {
        after(static_cast<int>(rank));
      }
      if (i >= kWarmUps) {
        micros.push_back(slowest);
      }
    }
    return spread_of(micros);
  }

 private:
  double once(const std::function<void(int)>& issue) {
    gate_.shut();
    for (cudaStream_t stream : streams_) {
      ok(launch_gate(gate_.flag(), stream), "launching the gate");
    }
    for (size_t rank = 0; rank < streams_.size(); rank++) {
      ok(cudaEventRecord(events_[2 * rank], streams_[rank]), "recording");
      issue(static_cast<int>(rank));
      ok(cudaEventRecord(events_[2 * rank + 1], streams_[rank]), "recording");
    }
    gate_.open();
    ok(cudaDeviceSynchronize(), "running");
    double slowest = 0;
    for (size_t rank = 0; rank < streams_.size(); rank++) {
      float millis = 0;
      ok(cudaEventElapsedTime(&millis, events_[2 * rank], events_[2 * rank + 1]), "reading");
      slowest = std::max(slowest, millis * 1e3);
    }
    return slowest;
  }

  std::vector<cudaStream_t> streams_;
  std::vector<cudaEvent_t> events_;
  Gate gate_;
};

class Report {
 public:
  // rows and row_bytes give GB/s; 0 rows where time alone counts.
  void add(const std::string& name, int ranks, int sms, const Spread& spread, double bytes) {
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

  void write(const char* path, const std::string& commit) const {
    ep4j_device device = {};
    device.struct_size = sizeof device;
    ok(ep4j_device_info(0, &device), "describing the device");
    std::ofstream out(path);
    out << "{\n  \"benchmark\": \"native normal mode\",\n  \"commit\": \"" << commit
        << "\",\n  \"device\": \"" << device.name << "\",\n  \"sms\": " << device.num_sms
        << ",\n  \"driver\": " << device.driver_version
        << ",\n  \"runtime\": " << device.runtime_version << ",\n  \"hidden\": " << kHidden
        << ",\n  \"tokens\": " << kTokens
        << ",\n  \"topk\": 8,\n  \"experts\": 256,\n  \"iterations\": " << kIterations
        << ",\n  \"l2\": \"not flushed\",\n  \"ranks\": \"streams of one process on one device\","
        << "\n  \"results\": [\n";
    for (size_t i = 0; i < lines_.size(); i++) {
      out << lines_[i] << (i + 1 < lines_.size() ? ",\n" : "\n");
    }
    out << "  ]\n}\n";
  }

 private:
  std::vector<std::string> lines_;
};

// Word w of a token's row: says whose it is and where.
uint32_t word_of(int rank, int token, int word) {
  return static_cast<uint32_t>(rank) << 27 ^ static_cast<uint32_t>(token) << 14 ^
         static_cast<uint32_t>(word);
}

Case bench_case(int ranks, int sms, bool fp8, int order) {
  Case c;
  c.ranks = ranks;
  c.experts = 256;
  c.topk = 8;
  c.hidden = kHidden;
  c.tokens.assign(static_cast<size_t>(ranks), kTokens);
  c.order = order;
  c.dtype = fp8 ? EP4J_FP8_E4M3 : EP4J_BF16;
  c.scale_words = fp8 ? kHidden / 128 : 0;
  c.pattern = Pattern::kFull;
  c.num_sms = sms;
  return c;
}

// Ranks with a routing, ready to dispatch and combine.
class Group {
 public:
  explicit Group(const Case& c) : c_(c), world_(c, 2, 2, false, size_t{256} << 20) {
    std::vector<int64_t> drawn(static_cast<size_t>(kTokens * c.topk));
    for (int rank = 0; rank < c.ranks; rank++) {
      RankEnd& end = world_.end(rank);
      streams_.push_back(end.stream);
      RankInput input;
      const int words = c.source_row_bytes() / 4;
      std::vector<uint32_t> x(static_cast<size_t>(kTokens) * static_cast<size_t>(words));
      for (size_t i = 0; i < x.size(); i++) {
        x[i] = word_of(rank, static_cast<int>(i) / words, static_cast<int>(i) % words);
      }
      input.x.resize(4 * x.size());
      std::memcpy(input.x.data(), x.data(), input.x.size());
      input.scales.assign(static_cast<size_t>(kTokens * c.scale_words), 0x3F800000);
      for (int token = 0; token < kTokens; token++) {
        draw(rank, token, &drawn[static_cast<size_t>(token * c.topk)]);
      }
      input.topk_idx = drawn;
      input.topk_weights.assign(drawn.size(), 1.0f);
      routing_.push_back(drawn);
      inputs_.push_back(upload_input(end, c, input));
      out_.push_back(reinterpret_cast<uint16_t*>(end.scratch.take(size_t{2} * kTokens * kHidden)));
    }
    results_.resize(static_cast<size_t>(c.ranks));
    rows_.resize(static_cast<size_t>(c.ranks));
    y_.resize(static_cast<size_t>(c.ranks));
  }

  void counted(int rank, uint64_t ticket) {
    RankEnd& end = world_.end(rank);
    ep4j_dispatch_call call = dispatch_call(c_, rank, input(rank), 0, 0, ticket);
    issue(end, call);
  }

  void cached(int rank) { issue(world_.end(rank), cached_call(c_, rank, input(rank), 0, 0)); }

  void release(int rank) {
    ok(ep4j_region_release(world_.end(rank).buffer, 0, streams_[static_cast<size_t>(rank)]),
       "releasing");
  }

  // All ranks: counts and rows of a counted dispatch, rows checked word for word.
  void verify() {
    for (int rank = 0; rank < c_.ranks; rank++) {
      counted(rank, ++ticket_);
    }
    for (int rank = 0; rank < c_.ranks; rank++) {
      RankEnd& end = world_.end(rank);
      std::vector<int32_t> per_expert;
      ep4j_counts counts =
          await_counts(end, c_, ticket_ - static_cast<uint64_t>(c_.ranks - 1 - rank), per_expert);
      rows_[static_cast<size_t>(rank)] = counts.num_received;
      verify_rows(end, counts.num_received);
      release(rank);
    }
  }

  void hand_out(int rank) {
    const size_t r = static_cast<size_t>(rank);
    void* y = nullptr;
    ok(ep4j_combine_input(world_.end(rank).buffer, 0, rows_[r], kHidden, kTimeoutNanos, &y,
                          streams_[r]),
       "combine input");
    y_[r] = static_cast<uint16_t*>(y);
  }

  void fill(int rank) {
    const size_t r = static_cast<size_t>(rank);
    ok(launch_fill(y_[r], int64_t{rows_[r]} * kHidden, bf16_of_float(static_cast<float>(rank + 1)),
                   streams_[r]),
       "filling y");
  }

  void combine(int rank, const uint16_t* y, int output) {
    const size_t r = static_cast<size_t>(rank);
    RankEnd& end = world_.end(rank);
    ep4j_combine_call call = {};
    call.struct_size = sizeof call;
    call.y = y;
    call.output = output;
    call.rows = rows_[r];
    call.hidden = kHidden;
    call.timeout_nanos = kTimeoutNanos;
    ok(ep4j_combine(end.buffer, &call, end.stream), "combine");
    ep4j_combine_receive_call receive = {};
    receive.struct_size = sizeof receive;
    receive.out = out_[r];
    receive.output = output;
    receive.hidden = kHidden;
    receive.num_sms = c_.num_sms;
    receive.timeout_nanos = kTimeoutNanos;
    ok(ep4j_combine_receive(end.buffer, &receive, end.stream), "combine receive");
  }

  // Every element of a token is the sum, over its rows, of the ranks' factors.
  void verify_combined() {
    for (int rank = 0; rank < c_.ranks; rank++) {
      const size_t r = static_cast<size_t>(rank);
      RankEnd& end = world_.end(rank);
      std::vector<uint16_t> out = end.download<uint16_t>(out_[r], size_t{kTokens} * kHidden);
      for (int token = 0; token < kTokens; token++) {
        uint16_t want = bf16_of_float(factor_sum(rank, token));
        for (int h = 0; h < kHidden; h++) {
          expect(out[static_cast<size_t>(token) * kHidden + static_cast<size_t>(h)] == want,
                 "combined[", token, ", ", h, "] of rank ", rank);
        }
      }
      end.expect_no_fault();
    }
  }

  uint16_t* handed_out(int rank) const { return y_[static_cast<size_t>(rank)]; }
  uint16_t* received_x(int rank) const {
    return static_cast<uint16_t*>(results_[static_cast<size_t>(rank)].x);
  }
  double received_bytes() const {
    return static_cast<double>(rows_[0]) * (c_.row_bytes() + 4 * c_.scale_words);
  }
  double combined_bytes() const { return static_cast<double>(rows_[0]) * 2 * kHidden; }
  const std::vector<cudaStream_t>& streams() const { return streams_; }
  uint64_t next_ticket() { return ++ticket_; }
  RankEnd& end(int rank) { return world_.end(rank); }
  const DeviceInput& input(int rank) const { return inputs_[static_cast<size_t>(rank)]; }
  const Case& shape() const { return c_; }

 private:
  void draw(int rank, int token, int64_t* choice) const {
    for (int k = 0; k < c_.topk; k++) {
      uint64_t bits =
          mix(static_cast<uint64_t>(rank), static_cast<uint64_t>(token), static_cast<uint64_t>(k));
      do {
        choice[k] = static_cast<int64_t>(bits % static_cast<uint64_t>(c_.experts));
        bits = mix(bits);
      } while (std::find(choice, choice + k, choice[k]) != choice + k);
    }
  }

  void issue(RankEnd& end, ep4j_dispatch_call call) {
    call.num_sms = c_.num_sms;
    ep4j_dispatch_result& result = results_[static_cast<size_t>(end.rank)];
    result.struct_size = sizeof result;
    ok(ep4j_dispatch(end.buffer, &call, &result, end.stream), "dispatch");
    ok(ep4j_dispatch_receive(end.buffer, 0, kTimeoutNanos, end.stream), "receive");
  }

  void verify_rows(RankEnd& end, int rows) {
    const ep4j_dispatch_result& result = results_[static_cast<size_t>(end.rank)];
    const size_t count = static_cast<size_t>(rows);
    const size_t words = static_cast<size_t>(c_.row_bytes()) / 4;
    std::vector<uint32_t> x = end.download<uint32_t>(result.x, count * words);
    std::vector<int32_t> tokens = end.download<int32_t>(result.source_token, count);
    std::vector<int32_t> sources;
    if (c_.rank_major()) {
      std::vector<int32_t> prefix =
          end.download<int32_t>(result.rank_prefix, static_cast<size_t>(c_.ranks));
      for (int32_t row = 0, source = 0; row < rows; row++) {
        while (row >= prefix[static_cast<size_t>(source)]) {
          source++;
        }
        sources.push_back(source);
      }
    } else {
      sources = end.download<int32_t>(result.source_rank, count);
    }
    for (size_t row = 0; row < count; row++) {
      for (size_t word = 0; word < words; word++) {
        expect(x[row * words + word] == word_of(sources[row], tokens[row], static_cast<int>(word)),
               "row ", row, ", word ", word, " of rank ", end.rank);
      }
    }
  }

  float factor_sum(int rank, int token) const {
    const int64_t* choice =
        &routing_[static_cast<size_t>(rank)][static_cast<size_t>(token * c_.topk)];
    float sum = 0;
    for (int peer = 0; peer < c_.ranks; peer++) {
      int64_t hits = std::count_if(choice, choice + c_.topk, [&](int64_t expert) {
        return expert / c_.local_experts() == peer;
      });
      sum += static_cast<float>(c_.rank_major() ? std::min<int64_t>(hits, 1) : hits) *
             static_cast<float>(peer + 1);
    }
    return sum;
  }

  const Case c_;
  World world_;
  std::vector<cudaStream_t> streams_;
  std::vector<std::vector<int64_t>> routing_;
  std::vector<DeviceInput> inputs_;
  std::vector<ep4j_dispatch_result> results_;
  std::vector<int32_t> rows_;
  std::vector<uint16_t*> y_;
  std::vector<uint16_t*> out_;
  uint64_t ticket_ = 0;
};

void nothing(int) {}

void bench_dispatch(Report& report, Group& group, const char* what, bool uncached) {
  const Case& c = group.shape();
  Timer timer(group.streams());
  auto release = [&](int rank) { group.release(rank); };
  report.add(join("dispatch ", what, ", cached"), c.ranks, c.num_sms,
             timer.time([&](int rank) { group.cached(rank); }, release), group.received_bytes());
  if (uncached) {
    report.add(join("dispatch ", what, ", counted"), c.ranks, c.num_sms,
               timer.time([&](int rank) { group.counted(rank, group.next_ticket()); }, release),
               group.received_bytes());
  }
}

void bench_combine(Report& report, Group& group, const char* what, bool staged) {
  const Case& c = group.shape();
  Timer timer(group.streams());
  for (int rank = 0; rank < c.ranks; rank++) {
    group.hand_out(rank);
    group.fill(rank);
  }
  // The output is handed out again outside the timing; what lies in it stays.
  Spread in_place = timer.time([&](int rank) { group.combine(rank, group.handed_out(rank), 0); },
                               [&](int rank) { group.hand_out(rank); });
  report.add(join("combine ", what, ", zero-copy"), c.ranks, c.num_sms, in_place,
             group.combined_bytes());
  group.verify_combined();
  if (staged) {
    Spread copied =
        timer.time([&](int rank) { group.combine(rank, group.received_x(rank), 1); }, nothing);
    report.add(join("combine ", what, ", staged"), c.ranks, c.num_sms, copied,
               group.combined_bytes());
  }
}

void bench_layout(Report& report, Group& group) {
  RankEnd& end = group.end(0);
  Timer floor({end.stream});
  report.add(
      "empty kernel", 1, 1,
      floor.time([&](int) { ok(launch_fill(nullptr, 0, 0, end.stream), "nothing"); }, nothing), 0);
  ep4j_layout_call call = {};
  call.struct_size = sizeof call;
  call.topk_idx = group.input(0).topk_idx;
  call.tokens_per_rank = reinterpret_cast<int32_t*>(end.scratch.take(256));
  call.tokens_per_expert = reinterpret_cast<int32_t*>(end.scratch.take(4096));
  call.is_token_in_rank = reinterpret_cast<uint8_t*>(end.scratch.take(size_t{32} * kTokens));
  call.num_tokens = kTokens;
  call.num_topk = group.shape().topk;
  call.index_bytes = 8;
  Timer timer({end.stream});
  report.add(
      "dispatch layout", 1, group.shape().ranks,
      timer.time([&](int) { ok(ep4j_layout(end.buffer, &call, end.stream), "layout"); }, nothing),
      0);
}

void bench_row_copy(Report& report, int row_bytes, int sms) {
  constexpr int kRows = 16384;
  Arena memory((size_t{kRows} * static_cast<size_t>(row_bytes) + 4096) * 2 + 4 * kRows);
  const size_t bytes = size_t{kRows} * static_cast<size_t>(row_bytes);
  char* rows = memory.take(bytes);
  char* out = memory.take(bytes);
  std::vector<int32_t> order(kRows);
  std::iota(order.begin(), order.end(), 0);
  for (size_t i = order.size() - 1; i > 0; i--) {
    std::swap(order[i], order[mix(i) % (i + 1)]);
  }
  int32_t* device_order = reinterpret_cast<int32_t*>(memory.take(4 * order.size()));
  ok(cudaMemcpy(device_order, order.data(), 4 * order.size(), cudaMemcpyHostToDevice), "uploading");
  ok(cudaMemset(rows, 0x3f, bytes), "filling");
  cudaStream_t stream;
  ok(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream");
  {
    Timer timer({stream});
    Spread spread = timer.time(
        [&](int) {
          ok(launch_row_copy(rows, out, device_order, kRows, row_bytes, sms, stream), "copying");
        },
        nothing);
    report.add(join("row copy limit, ", row_bytes, " B rows"), 1, sms, spread,
               static_cast<double>(bytes));
  }
  ok(cudaStreamDestroy(stream), "destroying");
}

void bench_group(Report& report, int ranks, int sms, bool fp8, int order, bool extras) {
  const char* what = fp8 ? "FP8" : (order == EP4J_RANK_MAJOR ? "BF16" : "BF16 expert-major");
  Group group(bench_case(ranks, sms, fp8, order));
  group.verify();
  bench_dispatch(report, group, what, extras || order == EP4J_EXPERT_MAJOR);
  if (!fp8) {
    bench_combine(report, group, what, extras);
  }
  if (extras) {
    bench_layout(report, group);
  }
  group.verify();
}

}  // namespace
}  // namespace ep4j::test

int main(int argc, char** argv) {
  using namespace ep4j::test;
  if (argc != 3) {
    std::printf("usage: %s RESULT.json COMMIT\n", argv[0]);
    return 2;
  }
  try {
    Report report;
    for (int sms : {16, 24, 48, 96}) {
      bench_row_copy(report, 2 * kHidden, sms);
      bench_row_copy(report, kHidden, sms);
    }
    bench_group(report, 2, 24, false, EP4J_RANK_MAJOR, true);
    bench_group(report, 2, 24, true, EP4J_RANK_MAJOR, false);
    bench_group(report, 2, 8, false, EP4J_RANK_MAJOR, false);
    bench_group(report, 2, 12, false, EP4J_RANK_MAJOR, false);
    bench_group(report, 4, 24, false, EP4J_RANK_MAJOR, false);
    bench_group(report, 4, 24, true, EP4J_RANK_MAJOR, false);
    bench_group(report, 2, 24, false, EP4J_EXPERT_MAJOR, false);
    report.write(argv[1], argv[2]);
  } catch (const std::exception& error) {
    std::printf("FAIL %s\n", error.what());
    return 1;
  }
  return 0;
}
