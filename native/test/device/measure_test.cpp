// The measuring services: rows are where the row copy should put them, the gate holds, timers tell.
#include <chrono>
#include <thread>

#include "world.hpp"

namespace ep4j::test {
namespace {

// A stream, and memory that ends with it.
class Bench {
 public:
  Bench() : memory(size_t{64} << 20) {
    ok(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream");
  }
  ~Bench() { cudaStreamDestroy(stream); }
  Bench(const Bench&) = delete;

  Arena memory;
  cudaStream_t stream = nullptr;
};

void copy_rows(int rows, int row_bytes, int sms) {
  Bench bench;
  const size_t words = static_cast<size_t>(rows) * static_cast<size_t>(row_bytes) / 4;
  std::vector<uint32_t> from(words);
  for (size_t i = 0; i < words; i++) {
    from[i] = static_cast<uint32_t>(mix(i));
  }
  std::vector<int32_t> order(static_cast<size_t>(rows));
  for (size_t i = 0; i < order.size(); i++) {
    order[i] = static_cast<int32_t>(mix(i) % order.size());
  }
  char* device_from = bench.memory.take(4 * words);
  char* device_out = bench.memory.take(4 * words + 64);
  char* device_order = bench.memory.take(4 * order.size());
  ok(cudaMemcpy(device_from, from.data(), 4 * words, cudaMemcpyHostToDevice), "uploading");
  ok(cudaMemcpy(device_order, order.data(), 4 * order.size(), cudaMemcpyHostToDevice), "uploading");
  ok(cudaMemset(device_out, 0x5a, 4 * words + 64), "filling");
  ep4j_row_copy_call call = {};
  call.struct_size = sizeof call;
  call.rows = device_from;
  call.out = device_out;
  call.order = reinterpret_cast<const int32_t*>(device_order);
  call.num_rows = rows;
  call.row_bytes = row_bytes;
  call.num_sms = sms;
  ok(ep4j_row_copy(&call, bench.stream), "row copy");
  ok(cudaStreamSynchronize(bench.stream), "running");
  std::vector<uint32_t> out(words + 16);
  ok(cudaMemcpy(out.data(), device_out, 4 * out.size(), cudaMemcpyDeviceToHost), "downloading");
  const size_t row_words = static_cast<size_t>(row_bytes) / 4;
  for (size_t i = 0; i < words; i++) {
    const size_t source = static_cast<size_t>(order[i / row_words]) * row_words + i % row_words;
    expect(out[i] == from[source], "word ", i % row_words, " of row ", i / row_words);
  }
  for (size_t i = words; i < out.size(); i++) {
    expect(out[i] == 0x5a5a5a5a, "a word past the last row is overwritten");
  }
}

void hold_and_time() {
  constexpr auto kPause = std::chrono::milliseconds(30);
  Bench bench;
  ep4j_gate* gate = nullptr;
  void* begin = nullptr;
  void* end = nullptr;
  ok(ep4j_gate_create(0, &gate), "making a gate");
  ok(ep4j_timer_create(0, &begin), "making a timer");
  ok(ep4j_timer_create(0, &end), "making a timer");
  ok(ep4j_event_record(0, begin, bench.stream), "recording");
  ok(ep4j_gate_hold(gate, 0, kTimeoutNanos, bench.stream), "holding");
  ok(ep4j_event_record(0, end, bench.stream), "recording");
  std::this_thread::sleep_for(kPause);
  int64_t nanos = 0;
  expect(ep4j_timer_elapsed(0, begin, end, &nanos) == EP4J_PENDING, "the gate does not hold");
  ok(ep4j_gate_set(gate, 1), "opening");
  ok(cudaStreamSynchronize(bench.stream), "running");
  ok(ep4j_timer_elapsed(0, begin, end, &nanos), "reading the time");
  expect(nanos >= 25'000'000, "held for ", nanos, " ns");
  ok(ep4j_gate_set(gate, 0), "shutting");
  ok(ep4j_event_record(0, begin, bench.stream), "recording");
  ok(ep4j_gate_hold(gate, 0, 10'000'000, bench.stream), "holding");
  ok(ep4j_event_record(0, end, bench.stream), "recording");
  ok(cudaStreamSynchronize(bench.stream), "a gate that nobody opens");
  ok(ep4j_timer_elapsed(0, begin, end, &nanos), "reading the time");
  expect(nanos >= 9'000'000 && nanos < kTimeoutNanos, "let go after ", nanos, " ns");
  ok(ep4j_event_destroy(0, begin), "ending a timer");
  ok(ep4j_event_destroy(0, end), "ending a timer");
  ok(ep4j_gate_destroy(gate), "ending a gate");
}

}  // namespace

void measure_tests(Suite& suite) {
  struct Shape {
    int rows;
    int row_bytes;
    int sms;
  };
  for (Shape shape : {Shape{1, 16, 1}, Shape{5, 48, 3}, Shape{1000, 14336, 8}, Shape{777, 7392, 24},
                      Shape{97, 16400, 5}, Shape{50, 65536, 7}, Shape{3, 1024, 100}}) {
    suite.run(join("row copy, ", shape.rows, " rows of ", shape.row_bytes, " bytes, ", shape.sms,
                   " SMs"),
              [&] { copy_rows(shape.rows, shape.row_bytes, shape.sms); });
  }
  suite.run("gate and timer", hold_and_time);
}

}  // namespace ep4j::test
