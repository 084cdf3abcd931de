// Ranks that call different things: every rank reports a mismatch, with the same two calls, at once
// and not at the deadline. For every pair of calls that must not meet.
#include <array>
#include <chrono>
#include <map>
#include <set>
#include <thread>

#include "world.hpp"

namespace ep4j::test {
namespace {

using Words = std::array<uint64_t, 4>;

// One rank's calls by name, after three dispatches: handles 0 and 1 rank-major, 2 expert-major.
class Calls {
 public:
  Calls(RankEnd& end, const Case& c, const DeviceInput& input) : end_(end), c_(c), input_(input) {
    prepare(EP4J_RANK_MAJOR, 0);
    prepare(EP4J_RANK_MAJOR, 1);
    prepare(EP4J_EXPERT_MAJOR, 2);
    out_ = end.scratch.take(static_cast<size_t>(c.max_tokens()) * 2 *
                            static_cast<size_t>(c.hidden));
    out_weights_ = reinterpret_cast<float*>(
        end.scratch.take(4 * static_cast<size_t>(c.max_tokens() * c.topk)));
  }

  void enter(const std::string& name) {
    auto dispatch = [&](auto change) {
      ep4j_dispatch_call call = dispatch_call(c_, end_.rank, input_, 0, 3, 9);
      change(call);
      issue(end_, call);
    };
    if (name == "dispatch") {
      dispatch([](auto&) {});
    } else if (name == "narrow") {
      dispatch([](auto& call) { call.hidden /= 2; });
    } else if (name == "fp8") {
      dispatch([](auto& call) { call.dtype = EP4J_FP8_E4M3; });
    } else if (name == "scaled") {
      dispatch([&](auto& call) {
        call.dtype = EP4J_FP8_E4M3;
        call.scales = input_.topk_weights;
        call.scale_words = 1;
        call.scale_stride_token = 1;
        call.scale_stride_word = 1;
      });
    } else if (name == "plain") {
      dispatch([](auto& call) { call.cast = EP4J_CAST_PLAIN; });
    } else if (name == "rounded") {
      dispatch([](auto& call) { call.cast = EP4J_CAST_ROUNDED; });
    } else if (name == "bounded") {
      dispatch([](auto& call) { call.bounded = 1; });
    } else if (name == "expert-major") {
      dispatch([](auto& call) { call.order = EP4J_EXPERT_MAJOR; });
    } else if (name == "aligned") {
      dispatch([](auto& call) { call.order = EP4J_EXPERT_MAJOR, call.alignment = 4; });
    } else if (name == "one choice") {
      dispatch([](auto& call) { call.num_topk = 1; });
    } else if (name == "int32") {
      dispatch([](auto& call) { call.index_bytes = 4; });
    } else if (name == "unweighted") {
      dispatch([](auto& call) { call.topk_weights = nullptr; });
    } else if (name == "cached" || name == "cached second") {
      issue(end_, cached_call(c_, end_.rank, input_, 0, name == "cached" ? 0 : 1));
    } else {
      combine(name);
    }
  }

 private:
  void prepare(int order, int handle) {
    ep4j_dispatch_call call =
        dispatch_call(c_, end_.rank, input_, 0, handle, static_cast<uint64_t>(handle) + 1);
    call.order = order;
    issue(end_, call);
    ok(ep4j_region_release(end_.buffer, 0, end_.stream), "releasing");
  }

  void combine(const std::string& name) {
    static const std::map<std::string, int> kHandles = {{"combine", 0},
                                                        {"combine weights", 0},
                                                        {"combine second", 1},
                                                        {"combine expert-major", 2},
                                                        {"combine weighted", 2}};
    ep4j_combine_call call = {};
    call.struct_size = sizeof call;
    call.handle = kHandles.at(name);
    call.hidden = c_.hidden;
    call.weighted = name == "combine weighted";
    call.topk_weights = name == "combine weights" ? input_.topk_weights : nullptr;
    call.timeout_nanos = kTimeoutNanos;
    ok(ep4j_combine(end_.buffer, &call, end_.stream), "combine");
    ep4j_combine_receive_call receive = {};
    receive.struct_size = sizeof receive;
    receive.out = out_;
    receive.out_weights = call.topk_weights != nullptr ? out_weights_ : nullptr;
    receive.handle = call.handle;
    receive.hidden = c_.hidden;
    receive.weighted = call.weighted;
    receive.timeout_nanos = kTimeoutNanos;
    ok(ep4j_combine_receive(end_.buffer, &receive, end_.stream), "combine receive");
  }

  RankEnd& end_;
  const Case& c_;
  DeviceInput input_;
  char* out_;
  float* out_weights_;
};

Case mismatching() {
  Case c = three_ranks();
  c.hidden = 128;
  return c;
}

// The two calls that a rank was told, whoever was the origin.
std::set<Words> reported_calls(const ep4j_error_record& record) {
  Words origin;
  Words peer;
  std::copy_n(record.origin_call, 4, origin.begin());
  std::copy_n(record.peer_call, 4, peer.begin());
  return {origin, peer};
}

// Every rank's record is of a mismatch between two different calls, the same on all ranks.
void expect_mismatch(const std::vector<ep4j_error_record>& records) {
  for (size_t rank = 0; rank < records.size(); rank++) {
    const ep4j_error_record& record = records[rank];
    expect(record.fault == EP4J_FAULT_MISMATCH, "rank ", rank, ": fault ", record.fault, " at stage ",
           record.stage, ", peer ", record.peer, ", origin ", record.origin, ", expected ",
           record.expected, ", seen ", record.seen);
    expect(record.origin != record.peer, "rank ", rank, ": a call that differs from itself");
    std::set<Words> calls = reported_calls(record);
    expect(calls.size() == 2, "rank ", rank, ": both calls read the same");
    for (const Words& words : calls) {
      expect((words[0] & 0xFF) >= 1 && (words[0] & 0xFF) <= 3, "rank ", rank,
             ": no operation in ", words[0]);
    }
    expect(calls == reported_calls(records[0]), "ranks 0 and ", rank, " report different calls");
    expect(record.expected == records[0].expected, "ranks 0 and ", rank, " name calls ",
           records[0].expected, " and ", record.expected);
  }
}

// Rank 1 calls something else, and rank 2 comes when the others have given up already.
void different(const std::string& usual, const std::string& other, bool late) {
  const Case c = mismatching();
  World world(c, 2, 2, false, size_t{4} << 20);
  std::vector<RankInput> inputs = make_inputs(c, 0);
  std::vector<ep4j_error_record> records(3);
  world.run([&](RankEnd& end) {
    DeviceInput input = upload_input(end, c, inputs[static_cast<size_t>(end.rank)]);
    Calls calls(end, c, input);
    end.sync();
    end.expect_no_fault();
    if (late && end.rank == 2) {
      std::this_thread::sleep_for(std::chrono::milliseconds(30));
    }
    const auto begin = std::chrono::steady_clock::now();
    calls.enter(end.rank == 1 ? other : usual);
    end.sync();
    expect(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5), "rank ", end.rank,
           " waited for its deadline");
    records[static_cast<size_t>(end.rank)] = end.fault();
  });
  expect_mismatch(records);
}

// Rank 0's combine can't publish: nobody else has read what its output held. The others dispatch.
void waiting_for_readers() {
  const Case c = mismatching();
  World world(c, 2, 2, false, size_t{4} << 20);
  std::vector<RankInput> inputs = make_inputs(c, 0);
  std::vector<ep4j_error_record> records(3);
  world.run([&](RankEnd& end) {
    DeviceInput input = upload_input(end, c, inputs[static_cast<size_t>(end.rank)]);
    issue(end, dispatch_call(c, end.rank, input, 0, 0, 1));
    ep4j_combine_call send = {};
    send.struct_size = sizeof send;
    send.hidden = c.hidden;
    send.timeout_nanos = kTimeoutNanos;
    ok(ep4j_combine(end.buffer, &send, end.stream), "combine");
    if (end.rank == 0) {
      ep4j_combine_receive_call receive = {};
      receive.struct_size = sizeof receive;
      receive.out = end.scratch.take(size_t{1} << 16);
      receive.hidden = c.hidden;
      receive.timeout_nanos = kTimeoutNanos;
      ok(ep4j_combine_receive(end.buffer, &receive, end.stream), "combine receive");
      ok(ep4j_combine(end.buffer, &send, end.stream), "the second combine");
    } else {
      issue(end, dispatch_call(c, end.rank, input, 1, 1, 2));
    }
    end.sync();
    records[static_cast<size_t>(end.rank)] = end.fault();
  });
  expect_mismatch(records);
}

}  // namespace

void mismatch_tests(Suite& suite) {
  const std::pair<const char*, const char*> pairs[] = {
      {"dispatch", "narrow"},        {"dispatch", "fp8"},
      {"fp8", "scaled"},             {"dispatch", "plain"},
      {"plain", "rounded"},          {"dispatch", "bounded"},
      {"dispatch", "expert-major"},  {"expert-major", "aligned"},
      {"dispatch", "one choice"},    {"dispatch", "int32"},
      {"dispatch", "unweighted"},    {"dispatch", "cached"},
      {"cached", "dispatch"},        {"cached", "cached second"},
      {"dispatch", "combine"},       {"combine", "dispatch"},
      {"cached", "combine"},         {"combine", "cached"},
      {"combine", "combine second"}, {"combine", "combine weights"},
      {"combine", "combine expert-major"}, {"combine expert-major", "combine weighted"},
  };
  for (const auto& [usual, other] : pairs) {
    for (bool late : {false, true}) {
      suite.run(join("mismatch: ", usual, " against ", other, late ? ", one rank late" : ""),
                [=] { different(usual, other, late); });
    }
  }
  suite.run("mismatch: a combine that waits for readers against dispatches", waiting_for_readers);
}

}  // namespace ep4j::test
