// A rank that is masked after it was let in: nothing late is written where somebody else was let in.
#include "membership.hpp"

namespace ep4j::test {
namespace {

// A rank's dispatch as two graphs: all but the sending kernel, and the sending kernel alone. So it
// can announce its rows, be granted places, and send whenever the test likes, or never.
class SplitDispatch {
 public:
  // A bounded call, since one whose host waits can't be captured.
  SplitDispatch(RankEnd& end, const ep4j_dispatch_call& call) : end_(end) {
    ep4j_dispatch_result unused = {};
    unused.struct_size = sizeof unused;
    ok(cudaStreamBeginCapture(end.stream, cudaStreamCaptureModeThreadLocal), "capturing");
    const ep4j_status captured = ep4j_dispatch(end.buffer, &call, &unused, end.stream);
    cudaGraph_t announce;
    ok(cudaStreamEndCapture(end.stream, &announce), "ending the capture");
    ok(captured, "dispatch");
    cudaGraph_t send;
    ok(cudaGraphClone(&send, announce), "copying the graph");
    remove(announce, [](bool last) { return last; });
    remove(send, [](bool last) { return !last; });
    announce_ = ready(announce);
    send_ = ready(send);
    end.sync();
  }

  void announce() { ok(cudaGraphLaunch(announce_, end_.stream), "announcing"); }
  void send() { ok(cudaGraphLaunch(send_, end_.stream), "sending"); }

 private:
  // Uploaded, because what a first launch does can stand behind kernels that wait.
  cudaGraphExec_t ready(cudaGraph_t graph) {
    cudaGraphExec_t exec;
    ok(cudaGraphInstantiate(&exec, graph, 0), "instantiating");
    ok(cudaGraphUpload(exec, end_.stream), "uploading");
    return exec;
  }

  template <class Chooses>
  static void remove(cudaGraph_t graph, Chooses chooses) {
    size_t count = 0;
    ok(cudaGraphGetNodes(graph, nullptr, &count), "counting nodes");
    std::vector<cudaGraphNode_t> nodes(count);
    ok(cudaGraphGetNodes(graph, nodes.data(), &count), "reading nodes");
    expect(count == 3, "plan, negotiate, send: ", count, " nodes");
    std::vector<cudaGraphNode_t> chosen;
    for (cudaGraphNode_t node : nodes) {
      size_t dependents = 0;
      ok(cudaGraphNodeGetDependentNodes(node, nullptr, nullptr, &dependents), "reading edges");
      if (chooses(dependents == 0)) {
        chosen.push_back(node);
      }
    }
    for (cudaGraphNode_t node : chosen) {
      ok(cudaGraphDestroyNode(node), "taking a node out");
    }
  }

  RankEnd& end_;
  cudaGraphExec_t announce_;
  cudaGraphExec_t send_;
};

// Rank 2 announces its rows, is granted places, and is masked on the timeout: its rows keep their
// places. The region is quarantined. Rank 2 then sends after all: it writes no row, because it was
// masked, and its word ends the quarantine. Or it never does, and the region can't be used.
void late_writer(int order, bool sends) {
  Case c = three_ranks();
  c.order = order;
  c.bounded = true;
  World world(c, 2, 2, true);
  std::vector<RankInput> inputs = make_inputs(c, 0);
  const std::vector<RankInput> seen = without(c, inputs, kAway);
  Milestone split_up;
  Milestone lost;
  Milestone sent;
  world.run([&](RankEnd& end) {
    DeviceInput input = upload_input(end, c, inputs[static_cast<size_t>(end.rank)]);
    ep4j_dispatch_call call = dispatch_call(c, end.rank, input, 0, 0, 1);
    call.timeout_nanos = 4 * kShortNanos;
    if (end.rank == kAway) {
      SplitDispatch split(end, call);
      split_up.reach();
      split.announce();
      lost.await(2);
      if (sends) {
        split.send();
      }
      end.sync();
      sent.reach();
      return;
    }
    split_up.await(1);
    deliver(end, c, call, with_lost_rows(c, expected_dispatch(c, inputs, end.rank), kAway));
    expect_masked(end, 1u << kAway);
    ep4j_standing standing = look(end);
    expect(standing.late[0] == 1u << kAway && standing.late[1] == 0 && standing.quarantined == 0,
           "an open region may be written by ", standing.late[0]);
    ep4j_host_words words = {};
    words.struct_size = sizeof words;
    ok(ep4j_buffer_words(end.buffer, &words), "reading the words' addresses");
    expect(words.late[0] == 1u << kAway && words.late[1] == 0, "the host's word says ",
           words.late[0]);
    ok(ep4j_region_release(end.buffer, 0, end.stream), "releasing");
    expect(look(end).quarantined == 1, "a region is quarantined");
    // The other region works as before.
    Received rest = expected_dispatch(c, seen, end.rank);
    call.region = 1;
    call.ticket = 2;
    round(end, c, call, rest);
    lost.reach();
    sent.await(1);
    standing = look(end);
    expect(standing.quarantined == (sends ? 0 : 1), standing.quarantined, " quarantined regions");
    call.region = 0;
    call.ticket = 3;
    if (sends) {
      round(end, c, call, rest);
      expect(look(end).late[0] == 0 && words.late[0] == 0, "the region is still quarantined");
      end.expect_no_fault();
    } else {
      call.timeout_nanos = kShortNanos;
      issue(end, call);
      end.sync();
      ep4j_error_record record = end.fault();
      expect(record.stage == EP4J_STAGE_LATE && record.peer == kAway, "fault ", record.fault,
             " at stage ", record.stage, ", peer ", record.peer);
    }
  });
}

// A masked rank that is known to be gone quarantines nothing.
void forgotten() {
  Case c = three_ranks();
  c.bounded = true;
  World world(c, 2, 2, true);
  std::vector<RankInput> inputs = make_inputs(c, 0);
  const std::vector<RankInput> seen = without(c, inputs, kAway);
  Milestone split_up;
  world.run([&](RankEnd& end) {
    DeviceInput input = upload_input(end, c, inputs[static_cast<size_t>(end.rank)]);
    ep4j_dispatch_call call = dispatch_call(c, end.rank, input, 0, 0, 1);
    call.timeout_nanos = 4 * kShortNanos;
    if (end.rank == kAway) {
      SplitDispatch split(end, call);
      split_up.reach();
      split.announce();
      return;
    }
    split_up.await(1);
    issue(end, call);
    end.sync();
    ok(ep4j_region_release(end.buffer, 0, end.stream), "releasing");
    expect(look(end).quarantined == 1, "a region is quarantined");
    ok(ep4j_forget(end.buffer, kAway), "forgetting");
    expect(look(end).quarantined == 0, "a region of a dead rank is quarantined");
    call.ticket = 2;
    round(end, c, call, expected_dispatch(c, seen, end.rank));
    end.expect_no_fault();
  });
}

}  // namespace

void late_writer_tests(Suite& suite) {
  for (int order : {EP4J_RANK_MAJOR, EP4J_EXPERT_MAJOR}) {
    for (bool sends : {true, false}) {
      suite.run(join("membership: rows lost after their counts, and ",
                     sends ? "sent when nobody wants them" : "never sent", ", order ", order),
                [=] { late_writer(order, sends); });
    }
  }
  suite.run("membership: a dead rank quarantines nothing", forgotten);
}

}  // namespace ep4j::test
