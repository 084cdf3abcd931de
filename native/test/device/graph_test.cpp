// A graph with one dispatch and one combine, captured once and replayed with changed routing, with
// eager calls between.
#include "suites.hpp"

namespace ep4j::test {
namespace {

struct Captured {
  DeviceInput input;
  ep4j_dispatch_result result;
  uint16_t* y;
  uint16_t* out;
  cudaGraphExec_t graph;
};

void check_now(RankEnd& end, const Case& c, const Captured& captured,
               const std::vector<RankInput>& inputs) {
  int rows = end.download<int32_t>(captured.result.num_received, 1)[0];
  expect_same(c, read_result(end, c, captured.result, rows, true),
              expected_dispatch(c, inputs, end.rank), true);
}

void check_combined(RankEnd& end, const Case& c, const Captured& captured,
                    const std::vector<RankInput>& inputs, const std::vector<CombineInput>& y) {
  Combined got;
  const size_t tokens = static_cast<size_t>(c.tokens[static_cast<size_t>(end.rank)]);
  got.out = end.download<uint16_t>(captured.out, tokens * static_cast<size_t>(c.hidden));
  expect_same(c, got, expected_combine(c, inputs, y, end.rank, false), false);
}

void issue(RankEnd& end, const Case& c, Captured& captured, int region, int output, int handle) {
  ep4j_dispatch_call call = dispatch_call(c, end.rank, captured.input, region, handle, 0);
  captured.result = {};
  captured.result.struct_size = sizeof captured.result;
  ok(ep4j_dispatch(end.buffer, &call, &captured.result, end.stream), "dispatch");
  ok(ep4j_dispatch_receive(end.buffer, region, kTimeoutNanos, end.stream), "receive");
  ep4j_combine_call combine = {};
  combine.struct_size = sizeof combine;
  combine.y = captured.y;
  combine.handle = handle;
  combine.output = output;
  combine.rows = static_cast<int32_t>(c.rows());
  combine.hidden = c.hidden;
  combine.timeout_nanos = kTimeoutNanos;
  combine.receive_follows = 1;
  ok(ep4j_combine(end.buffer, &combine, end.stream), "combine");
  ep4j_combine_receive_call receive = {};
  receive.struct_size = sizeof receive;
  receive.out = captured.out;
  receive.handle = handle;
  receive.output = output;
  receive.hidden = c.hidden;
  receive.timeout_nanos = kTimeoutNanos;
  ok(ep4j_combine_receive(end.buffer, &receive, end.stream), "combine receive");
}

template <class T>
void overwrite(RankEnd& end, const void* device, const std::vector<T>& values) {
  end.sync();
  ok(cudaMemcpyAsync(const_cast<void*>(device), values.data(), sizeof(T) * values.size(),
                     cudaMemcpyHostToDevice, end.stream),
     "changing inputs");
}

}  // namespace

void replay(const Case& c, int replays) {
  World world(c);
  replay(world, c, replays);
}

void replay(Ranks& ranks, const Case& c, int replays) {
  constexpr int kPinnedRegion = 0;
  constexpr int kEagerRegion = 1;
  std::vector<std::vector<RankInput>> inputs;
  std::vector<CombineInput> y;
  for (int i = 0; i <= replays; i++) {
    inputs.push_back(make_inputs(c, static_cast<uint64_t>(i)));
  }
  for (int rank = 0; rank < c.ranks; rank++) {
    y.push_back(make_combine_input(c, rank, static_cast<int>(c.rows()), 0));
  }
  // A graph's first launch goes through the driver's own uploads. While a peer's graph waited, they
  // and other ranks' copies could wait for it (seen in one run of five on an H100).
  ranks.run([&](RankEnd& end) {
    const size_t rank = static_cast<size_t>(end.rank);
    const size_t elements = static_cast<size_t>(c.tokens[rank]) * static_cast<size_t>(c.hidden);
    Captured captured = {};
    captured.input = upload_input(end, c, inputs[0][rank]);
    captured.y = end.upload(y[rank].y);
    captured.out = end.upload(std::vector<uint16_t>(elements, 0x7FC1));
    Captured eager = captured;
    eager.input = upload_input(end, c, inputs[0][rank]);
    eager.out = end.upload(std::vector<uint16_t>(elements, 0x7FC1));
    cudaGraph_t graph;
    ok(cudaStreamBeginCapture(end.stream, cudaStreamCaptureModeThreadLocal), "capturing");
    issue(end, c, captured, kPinnedRegion, 0, 0);
    ok(cudaStreamEndCapture(end.stream, &graph), "ending the capture");
    ok(cudaGraphInstantiate(&captured.graph, graph, 0), "instantiating");
    ok(cudaGraphUpload(captured.graph, end.stream), "uploading the graph");
    end.sync();
    ranks.meet();
    for (int i = 0; i < replays; i++) {
      const std::vector<RankInput>& now = inputs[static_cast<size_t>(i)];
      overwrite(end, captured.input.x, now[rank].x);
      overwrite(end, captured.input.topk_idx, now[rank].topk_idx);
      overwrite(end, captured.input.topk_weights, now[rank].topk_weights);
      ok(cudaGraphLaunch(captured.graph, end.stream), "replaying");
      check_now(end, c, captured, now);
      check_combined(end, c, captured, now, y);
      if (i % 3 == 0) {
        issue(end, c, eager, kEagerRegion, 1, 1);
        check_now(end, c, eager, inputs[0]);
        check_combined(end, c, eager, inputs[0], y);
        ok(ep4j_region_release(end.buffer, kEagerRegion, end.stream), "releasing");
      }
    }
    end.expect_no_fault();
    ok(cudaGraphExecDestroy(captured.graph), "destroying");
    ok(cudaGraphDestroy(graph), "destroying");
  });
}

void graph_tests(Suite& suite) {
  for (int order : {EP4J_RANK_MAJOR, EP4J_EXPERT_MAJOR}) {
    Case c;
    c.ranks = 3;
    c.experts = 12;
    c.topk = 3;
    c.hidden = 264;
    c.tokens = {19, 8, 30};
    c.order = order;
    c.bounded = true;
    suite.run("graph: 100 replays with changed routing, " + c.describe(), [=] { replay(c, 100); });
  }
}

}  // namespace ep4j::test
