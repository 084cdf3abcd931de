// The table of targets.md, section 2: GPU time of normal mode, ranks as streams of one process on
// one device.
//
// Every stream waits behind a gate until all launches of an iteration are queued, so that launch
// times don't count; time runs from an event behind the gate to one behind the operation; an
// iteration's time is the slowest rank's; the figure is the median of 50 after 5 to warm up. Data
// is not flushed from L2 between iterations; rows of one iteration exceed it. GB/s are per rank:
// rows received (its own included) x row bytes / time; for FP8 a row is H + H/128 * 4 bytes.
// Results are verified before and after.
//
// "host time" is what a call takes on the host until it returns, launches included, one rank, GPU
// idle: the same calls from Java must not take much longer.
#include <cstdio>
#include <cstring>
#include <numeric>

#include "bench_group.hpp"
#include "bench_kernels.hpp"
#include "bench_low_latency.hpp"

namespace ep4j::test {
namespace {

void nothing(int) {}

void bench_dispatch(Report& report, Group& group, const char* what, bool uncached) {
  const Case& c = group.shape();
  Timer timer(group.streams());
  auto release = [&](int rank) { group.release(rank); };
  report.add(join("dispatch ", what, ", cached"), c.ranks, c.num_sms,
             timer.gpu([&](int rank) { group.cached(rank); }, release), group.received_bytes());
  if (uncached) {
    report.add(join("dispatch ", what, ", counted"), c.ranks, c.num_sms,
               timer.gpu([&](int rank) { group.counted(rank, group.next_ticket()); }, release),
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
  Spread in_place = timer.gpu([&](int rank) { group.combine(rank, group.handed_out(rank), 0); },
                              [&](int rank) { group.hand_out(rank); });
  report.add(join("combine ", what, ", zero-copy"), c.ranks, c.num_sms, in_place,
             group.combined_bytes());
  group.verify_combined();
  if (staged) {
    Spread copied =
        timer.gpu([&](int rank) { group.combine(rank, group.received_x(rank), 1); }, nothing);
    report.add(join("combine ", what, ", staged"), c.ranks, c.num_sms, copied,
               group.combined_bytes());
  }
}

void bench_layout(Report& report, Group& group) {
  RankEnd& end = group.end(0);
  Timer floor({end.stream});
  report.add(
      "empty kernel", 1, 1,
      floor.gpu([&](int) { ok(launch_fill(nullptr, 0, 0, end.stream), "nothing"); }, nothing), 0);
  ep4j_layout_call call = {};
  call.struct_size = sizeof call;
  call.topk_idx = group.input(0).topk_idx;
  call.tokens_per_rank = reinterpret_cast<int32_t*>(end.scratch.take(256));
  call.tokens_per_expert = reinterpret_cast<int32_t*>(end.scratch.take(4096));
  call.is_token_in_rank = reinterpret_cast<uint8_t*>(end.scratch.take(size_t{32} * kBenchTokens));
  call.num_tokens = kBenchTokens;
  call.num_topk = group.shape().topk;
  call.index_bytes = 8;
  Timer timer({end.stream});
  report.add(
      "dispatch layout", 1, group.shape().ranks,
      timer.gpu([&](int) { ok(ep4j_layout(end.buffer, &call, end.stream), "layout"); }, nothing),
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
  ep4j_row_copy_call call = {};
  call.struct_size = sizeof call;
  call.rows = rows;
  call.out = out;
  call.order = device_order;
  call.num_rows = kRows;
  call.row_bytes = row_bytes;
  call.num_sms = sms;
  cudaStream_t stream;
  ok(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream");
  {
    Timer timer({stream});
    Spread spread = timer.gpu(
        [&](int) {
          ok(ep4j_row_copy(&call, stream), "copying");
        },
        nothing);
    report.add(join("row copy limit, ", row_bytes, " B rows"), 1, sms, spread,
               static_cast<double>(bytes));
  }
  ok(cudaStreamDestroy(stream), "destroying");
}

// What Java's call overhead is compared with.
void bench_host(Report& report) {
  Group group(bench_case(1, 24, BenchRows::kBf16, EP4J_RANK_MAJOR));
  group.verify();
  Timer timer(group.streams());
  report.add("host time: dispatch, cached", 1, 24,
             timer.host([&](int rank) { group.cached(rank); },
                        [&](int rank) { group.release(rank); }),
             0);
  group.hand_out(0);
  group.fill(0);
  report.add("host time: combine, zero-copy", 1, 24,
             timer.host([&](int rank) { group.combine(rank, group.handed_out(rank), 0); },
                        [&](int rank) { group.hand_out(rank); }),
             0);
  group.verify_combined();
}

// Every kernel of normal mode a few times, one rank and no gate, so that a profiler which lets one
// kernel run at a time can look at them.
void profile() {
  for (int order : {EP4J_RANK_MAJOR, EP4J_EXPERT_MAJOR}) {
    for (BenchRows rows : {BenchRows::kBf16, BenchRows::kFp8, BenchRows::kCast}) {
      Group group(bench_case(1, 24, rows, order));
      group.verify();
      for (int i = 0; i < 3; i++) {
        group.counted(0, group.next_ticket());
        group.end(0).sync();
        group.release(0);
        group.cached(0);
        group.end(0).sync();
        group.release(0);
      }
      for (int i = 0; rows == BenchRows::kBf16 && i < 3; i++) {
        group.hand_out(0);
        group.fill(0);
        group.combine(0, group.handed_out(0), 0);
        group.end(0).sync();
      }
    }
  }
}

void bench_group(Report& report, int ranks, int sms, BenchRows rows, int order, bool extras) {
  const std::string what =
      join(name_of(rows), order == EP4J_RANK_MAJOR ? "" : " expert-major");
  Group group(bench_case(ranks, sms, rows, order));
  group.verify();
  bench_dispatch(report, group, what.c_str(), extras || order == EP4J_EXPERT_MAJOR);
  if (rows == BenchRows::kBf16) {
    bench_combine(report, group, what.c_str(), extras);
  }
  if (extras) {
    bench_layout(report, group);
  }
  group.verify();
}

// What each half of a combine takes, while the other ranks are in the same half.
void bench_combine_halves(Report& report, Group& group, const char* what) {
  const Case& c = group.shape();
  Timer timer(group.streams());
  auto send = [&](int rank) { group.send_combine(rank, group.handed_out(rank), 0, false); };
  auto receive = [&](int rank) { group.receive_combine(rank, 0); };
  report.add(join("combine ", what, ", sending half"), c.ranks, c.num_sms,
             timer.gpu(send,
                       [&](int rank) {
                         receive(rank);
                         group.hand_out(rank);
                       }),
             0);
  for (int rank = 0; rank < c.ranks; rank++) {
    send(rank);
  }
  report.add(join("combine ", what, ", receiving half"), c.ranks, c.num_sms,
             timer.gpu(receive,
                       [&](int rank) {
                         group.hand_out(rank);
                         send(rank);
                       }),
             0);
  for (int rank = 0; rank < c.ranks; rank++) {
    receive(rank);
  }
  group.verify_combined();
}

// Two nodes with fewer places for messages at their destination.
void bench_staging(Report& report) {
  for (int staging : {kBenchTokens, 2048, 1024, 512, 128}) {
    for (BenchRows rows : {BenchRows::kBf16, BenchRows::kFp8}) {
      Case c = bench_case(4, 24, rows, EP4J_RANK_MAJOR);
      c.ranks_per_node = 2;
      c.staging_rows = staging;
      Group group(c);
      group.verify();
      bench_dispatch(report, group,
                     join(name_of(rows), ", 2 nodes, staging ", staging).c_str(), false);
      group.verify();
    }
  }
}

// Four ranks as one node, as two and as four, on as many multiprocessors: what a network that is
// copies of the same device costs, and with it each row's ways over it.
void bench_internode(Report& report) {
  for (int ranks_per_node : {4, 2, 1}) {
    for (BenchRows rows : {BenchRows::kBf16, BenchRows::kFp8, BenchRows::kCast}) {
      Case c = bench_case(4, 24, rows, EP4J_RANK_MAJOR);
      c.ranks_per_node = ranks_per_node == 4 ? 0 : ranks_per_node;
      const std::string what = join(name_of(rows), ", ", c.nodes(), " nodes");
      Group group(c);
      group.verify();
      bench_dispatch(report, group, what.c_str(), rows == BenchRows::kBf16);
      if (rows == BenchRows::kBf16) {
        bench_combine(report, group, what.c_str(), false);
        for (int rank = 0; rank < c.ranks; rank++) {
          group.hand_out(rank);
        }
        bench_combine_halves(report, group, what.c_str());
      }
      group.verify();
    }
  }
}

}  // namespace
}  // namespace ep4j::test

int main(int argc, char** argv) {
  using namespace ep4j::test;
  const bool only_profile = argc == 2 && std::strcmp(argv[1], "profile") == 0;
  const bool low_latency = argc == 4 && std::strcmp(argv[3], "low-latency") == 0;
  const bool internode = argc == 4 && std::strcmp(argv[3], "internode") == 0;
  const bool staging = argc == 4 && std::strcmp(argv[3], "staging") == 0;
  if (argc != 3 && !low_latency && !internode && !staging && !only_profile) {
    std::printf("usage: %s RESULT.json COMMIT [low-latency|internode|staging] | %s profile\n",
                argv[0], argv[0]);
    return 2;
  }
  try {
    if (only_profile) {
      profile();
      return 0;
    }
    if (low_latency) {
      bench_low_latency(argv[1], argv[2]);
      return 0;
    }
    Report report;
    if (internode || staging) {
      internode ? bench_internode(report) : bench_staging(report);
      report.write(argv[1], argv[2]);
      return 0;
    }
    for (int sms : {16, 24, 48, 96}) {
      bench_row_copy(report, 2 * kBenchHidden, sms);
      bench_row_copy(report, kBenchHidden, sms);
    }
    bench_group(report, 2, 24, BenchRows::kBf16, EP4J_RANK_MAJOR, true);
    bench_group(report, 2, 24, BenchRows::kFp8, EP4J_RANK_MAJOR, false);
    bench_group(report, 2, 24, BenchRows::kCast, EP4J_RANK_MAJOR, false);
    bench_group(report, 2, 8, BenchRows::kBf16, EP4J_RANK_MAJOR, false);
    bench_group(report, 2, 12, BenchRows::kBf16, EP4J_RANK_MAJOR, false);
    bench_group(report, 4, 24, BenchRows::kBf16, EP4J_RANK_MAJOR, false);
    bench_group(report, 4, 24, BenchRows::kFp8, EP4J_RANK_MAJOR, false);
    bench_group(report, 2, 24, BenchRows::kBf16, EP4J_EXPERT_MAJOR, false);
    bench_host(report);
    report.write(argv[1], argv[2]);
  } catch (const std::exception& error) {
    std::printf("FAIL %s\n", error.what());
    return 1;
  }
  return 0;
}
