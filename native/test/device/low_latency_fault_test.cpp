// What happens in low-latency mode when a rank is silent, differs, names a wrong expert, or is
// masked. After each fault the device still works: the next test makes new buffers.
#include <chrono>

#include "low_latency.hpp"

namespace ep4j::test {
namespace {

constexpr int64_t kShortNanos = 300'000'000;

Case three_ranks() { return low_latency_case(3, 6, 2, 64, {5, 9, 7}); }

void expect_fault(RankEnd& end, int fault, int stage, int peer, int origin) {
  const ep4j_error_record record = end.fault();
  expect(record.fault == fault && record.stage == stage && record.peer == peer &&
             record.origin == origin,
         "rank ", end.rank, ": fault ", record.fault, " at stage ", record.stage, ", peer ",
         record.peer, ", origin ", record.origin, "; expected ", fault, " at ", stage, ", peer ",
         peer, ", origin ", origin);
}

// Rank 2 never calls. Rank 0 gives up first; rank 1, which would wait longer, learns it from rank
// 0. Later calls return at once.
void silent_rank(bool hook) {
  const Case c = three_ranks();
  const ep4j_low_latency_config config = low_latency_config(c);
  const LowLatencyPlan plan = low_latency_plan(c, 0);
  World world = low_latency_world(c, config);
  world.run([&](RankEnd& end) {
    LowLatencyRank rank(end, c, config);
    LowLatencyRank::Tensors tensors = rank.upload(plan);
    if (end.rank == 2) {
      return;
    }
    const int64_t timeout = end.rank == 0 ? kShortNanos : kTimeoutNanos;
    ep4j_low_latency_dispatch_call call = rank.dispatch_call(tensors, 0, -1, hook);
    call.timeout_nanos = timeout;
    auto begin = std::chrono::steady_clock::now();
    rank.dispatch(call);
    if (hook) {
      ok(ep4j_low_latency_dispatch_receive(end.buffer, 0, 0, timeout, end.stream), "receive");
    }
    end.sync();
    expect(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5), "rank ", end.rank,
           " waited for its own deadline");
    expect_fault(end, end.rank == 0 ? EP4J_FAULT_TIMEOUT : EP4J_FAULT_PEER_FAILED,
                 EP4J_STAGE_ARRIVAL, 2, 0);
    ep4j_low_latency_combine_call combine =
        rank.combine_call(tensors, 0, 0, Outputs::kStaged, false);
    rank.combine(combine, tensors, Outputs::kStaged);
    rank.dispatch(rank.dispatch_call(tensors, 1, 0, false));
    end.sync();
  });
}

// Rank 2 sends three dispatches and receives none: it may not send the third.
void full_inbox() {
  const Case c = three_ranks();
  const ep4j_low_latency_config config = low_latency_config(c, 2, 3, 2);
  const LowLatencyPlan plan = low_latency_plan(c, 0);
  World world = low_latency_world(c, config);
  world.run([&](RankEnd& end) {
    LowLatencyRank rank(end, c, config);
    LowLatencyRank::Tensors tensors = rank.upload(plan);
    rank.dispatch(rank.dispatch_call(tensors, 0, -1, true));
    rank.dispatch(rank.dispatch_call(tensors, 1, -1, true));
    ep4j_low_latency_dispatch_call third = rank.dispatch_call(tensors, 2, -1, true);
    ep4j_low_latency_result result = {};
    result.struct_size = sizeof result;
    expect(ep4j_low_latency_dispatch(end.buffer, &third, &result, end.stream) ==
               EP4J_INVALID_ARGUMENT,
           "the oldest must be received first");
    expect(std::string(ep4j_last_error()).find("region 0") != std::string::npos,
           ep4j_last_error());
    rank.receive_dispatch(1);
    rank.receive_dispatch(0);
    rank.dispatch(third);
    rank.receive_dispatch(2);
    end.expect_no_fault();
  });
}

// A peer that does not empty its inbox holds up the sender, which names it.
void slow_receiver() {
  const Case c = three_ranks();
  const ep4j_low_latency_config config = low_latency_config(c, 1, 2, 2);
  const LowLatencyPlan plan = low_latency_plan(c, 0);
  World world = low_latency_world(c, config);
  world.run([&](RankEnd& end) {
    LowLatencyRank rank(end, c, config);
    LowLatencyRank::Tensors tensors = rank.upload(plan);
    rank.dispatch(rank.dispatch_call(tensors, 0, -1, true));
    if (end.rank == 2) {
      return;
    }
    rank.receive_dispatch(0);
    end.sync();
    ep4j_low_latency_dispatch_call call = rank.dispatch_call(tensors, 1, -1, true);
    call.timeout_nanos = end.rank == 0 ? kShortNanos : kTimeoutNanos;
    rank.dispatch(call);
    end.sync();
    expect_fault(end, end.rank == 0 ? EP4J_FAULT_TIMEOUT : EP4J_FAULT_PEER_FAILED,
                 EP4J_STAGE_INBOX, 2, 0);
  });
}

// Ranks that call different things all hear of it.
void different_calls(bool combine) {
  Case c = three_ranks();
  c.hidden = 512;
  const ep4j_low_latency_config config = low_latency_config(c);
  const LowLatencyPlan plan = low_latency_plan(c, 0);
  World world = low_latency_world(c, config);
  world.run([&](RankEnd& end) {
    LowLatencyRank rank(end, c, config);
    LowLatencyRank::Tensors tensors = rank.upload(plan);
    ep4j_low_latency_dispatch_call call = rank.dispatch_call(tensors, 0, -1, false);
    if (!combine && end.rank == 1) {
      call.cast = EP4J_CAST_PLAIN;
    }
    rank.dispatch(call);
    if (combine) {
      end.sync();
      end.expect_no_fault();
      const Outputs outputs = end.rank == 1 ? Outputs::kLogFmtStaged : Outputs::kStaged;
      rank.combine(rank.combine_call(tensors, 0, 0, outputs, false), tensors, outputs);
    }
    end.sync();
    ep4j_error_record record = end.fault();
    expect(record.fault == EP4J_FAULT_MISMATCH, "rank ", end.rank, ": fault ", record.fault);
  });
}

// A routing that breaks a rule on rank 1 is refused everywhere, by name; its combine gives zeros;
// then a good one works.
void refused(int64_t value, int rule, bool hook) {
  constexpr int kToken = 3;
  const Case c = three_ranks();
  const ep4j_low_latency_config config = low_latency_config(c);
  const LowLatencyPlan plan = low_latency_plan(c, 0);
  LowLatencyPlan bad = plan;
  int64_t* choices = &bad.inputs[1].topk_idx[static_cast<size_t>(kToken * c.topk)];
  choices[0] = 2;
  choices[1] = value;
  World world = low_latency_world(c, config);
  world.run([&](RankEnd& end) {
    LowLatencyRank rank(end, c, config);
    LowLatencyRank::Tensors bad_tensors = rank.upload(bad);
    LowLatencyRank::Tensors tensors = rank.upload(plan);
    ep4j_low_latency_result result =
        rank.dispatch(rank.dispatch_call(bad_tensors, 0, -1, hook));
    if (hook) {
      rank.receive_dispatch(0);
    }
    end.sync();
    const ep4j_error_record record = end.fault();
    expect(record.fault == EP4J_FAULT_REFUSED && record.peer == 1 && record.rule == rule &&
               record.token == kToken && record.value == value,
           "rank ", end.rank, ": fault ", record.fault, ", peer ", record.peer, ", rule ",
           record.rule, ", token ", record.token, ", value ", record.value);
    for (int32_t count : end.download<int32_t>(result.count, 2)) {
      expect(count == 0, "a refused call received ", count, " rows");
    }
    rank.combine(rank.combine_call(bad_tensors, 0, 0, Outputs::kStaged, false), bad_tensors,
                 Outputs::kStaged);
    const size_t elements = static_cast<size_t>(bad_tensors.num_tokens * c.hidden);
    for (uint16_t sum : end.download<uint16_t>(bad_tensors.out, elements)) {
      expect(sum == 0, "a refused call combined to ", sum);
    }
    rank.release(0);
    result = rank.dispatch(rank.dispatch_call(tensors, 0, -1, false));
    rank.check(result, plan.received[static_cast<size_t>(end.rank)]);
    rank.combine(rank.combine_call(tensors, 0, 1, Outputs::kStaged, false), tensors,
                 Outputs::kStaged);
    rank.check(tensors, plan, Outputs::kStaged);
    end.expect_no_fault();
  });
}

// Ranks 0 and 1 go on without rank 2: masked by the host, or by the device on a timeout. More calls
// than there are inboxes and outputs, so that none of them waits for rank 2.
void masked(bool by_host) {
  const Case c = three_ranks();
  const ep4j_low_latency_config config = low_latency_config(c);
  const LowLatencyPlan whole = low_latency_plan(c, 0);
  const LowLatencyPlan plan = low_latency_plan(c, without_rank(c, whole.inputs, 2), 0);
  World world = low_latency_world(c, config, !by_host);
  world.run([&](RankEnd& end) {
    LowLatencyRank rank(end, c, config);
    LowLatencyRank::Tensors tensors = rank.upload(plan);
    tensors.input = upload_input(end, c, whole.inputs[static_cast<size_t>(end.rank)]);
    if (end.rank == 2) {
      return;
    }
    if (by_host) {
      ok(ep4j_mask(end.buffer, 2), "masking");
    }
    int32_t* stats = end.upload(std::vector<int32_t>(2, 0));
    for (int i = 0; i < 4; i++) {
      ep4j_low_latency_dispatch_call call = rank.dispatch_call(tensors, 0, i % 2, i % 2 == 1);
      call.timeout_nanos = kShortNanos;
      call.receive_stats = stats;
      ep4j_low_latency_result result = rank.dispatch(call);
      if (i % 2 == 1) {
        rank.receive_dispatch(0);
      }
      rank.check(result, plan.received[static_cast<size_t>(end.rank)]);
      uint32_t ranks = 0;
      ok(ep4j_masked(end.buffer, &ranks), "masked");
      expect(ranks == 1u << 2, "masked ranks ", ranks);
      const Outputs outputs = i < 2 ? Outputs::kStaged : Outputs::kInPlace;
      rank.combine(rank.combine_call(tensors, 0, i % 2, outputs, false), tensors, outputs);
      rank.check(tensors, plan, outputs);
      rank.release(0);
    }
    end.expect_no_fault();
    const std::vector<int32_t> counted = end.download<int32_t>(stats, 2);
    const Received& received = plan.received[static_cast<size_t>(end.rank)];
    expect(counted[0] == 4 * received.expert_offsets[1], "expert 0 counted ", counted[0]);
  });
  // The masked rank learns it at its next call.
  world.run([&](RankEnd& end) {
    if (end.rank != 2) {
      return;
    }
    LowLatencyRank rank(end, c, config);
    LowLatencyRank::Tensors tensors = rank.upload(whole);
    rank.dispatch(rank.dispatch_call(tensors, 0, -1, false));
    end.sync();
    ep4j_error_record record = end.fault();
    expect(record.fault == EP4J_FAULT_MASKED, "fault ", record.fault);
  });
}

// Masked between a dispatch and its combine: the sum goes on without its rows.
void masked_before_combine() {
  const Case c = three_ranks();
  const ep4j_low_latency_config config = low_latency_config(c);
  const LowLatencyPlan plan = low_latency_plan(c, 0);
  std::vector<RankInput> seen = plan.inputs;
  for (RankInput& input : seen) {
    for (size_t i = 0; i < input.topk_idx.size(); i++) {
      // The row is there, and adds nothing: only its weight goes.
      if (input.topk_idx[i] / c.local_experts() == 2) {
        input.topk_weights[i] = 0;
      }
    }
  }
  World world = low_latency_world(c, config);
  world.run([&](RankEnd& end) {
    LowLatencyRank rank(end, c, config);
    LowLatencyRank::Tensors tensors = rank.upload(plan);
    ep4j_low_latency_result result = rank.dispatch(rank.dispatch_call(tensors, 0, -1, false));
    rank.check(result, plan.received[static_cast<size_t>(end.rank)]);
    if (end.rank == 2) {
      return;
    }
    ok(ep4j_mask(end.buffer, 2), "masking");
    rank.combine(rank.combine_call(tensors, 0, 0, Outputs::kStaged, false), tensors,
                 Outputs::kStaged);
    LowLatencyPlan without = plan;
    without.raw[static_cast<size_t>(end.rank)].out =
        expected_combine(c, seen, plan.y, end.rank, true).out;
    rank.check(tensors, without, Outputs::kStaged);
    end.expect_no_fault();
  });
}

// Rules that the host can see are refused there, before anything is issued.
void host_refusals() {
  const Case c = low_latency_case(2, 4, 2, 64, {5, 9});
  const ep4j_low_latency_config config = low_latency_config(c);
  const LowLatencyPlan plan = low_latency_plan(c, 0);
  World world = low_latency_world(c, config);
  world.run([&](RankEnd& end) {
    LowLatencyRank rank(end, c, config);
    LowLatencyRank::Tensors tensors = rank.upload(plan);
    ep4j_low_latency_result result = {};
    result.struct_size = sizeof result;
    ep4j_device device = {};
    device.struct_size = sizeof device;
    ok(ep4j_device_info(0, &device), "describing the device");
    auto refuse = [&](ep4j_status status, const char* word) {
      expect(status == EP4J_INVALID_ARGUMENT, "status ", status, " for ", word);
      expect(std::string(ep4j_last_error()).find(word) != std::string::npos, ep4j_last_error());
    };
    auto refuse_dispatch = [&](auto change, const char* word) {
      ep4j_low_latency_dispatch_call call = rank.dispatch_call(tensors, 0, -1, false);
      change(call);
      refuse(ep4j_low_latency_dispatch(end.buffer, &call, &result, end.stream), word);
    };
    refuse_dispatch([&](auto& call) { call.num_sms = device.num_sms / 2 + 1; }, "num_sms");
    refuse_dispatch([&](auto& call) { call.num_tokens = config.max_tokens + 1; }, "num_tokens");
    refuse_dispatch([&](auto& call) { call.num_topk = c.topk + 1; }, "num_topk");
    refuse_dispatch([&](auto& call) { call.cast = EP4J_CAST_PLAIN; }, "hidden");
    refuse_dispatch([&](auto& call) { call.region = 2; }, "region");
    refuse_dispatch([&](auto& call) { call.output = 2; }, "output");
    refuse_dispatch([&](auto& call) { call.timeout_nanos = 0; }, "timeout_nanos");
    refuse_dispatch([&](auto& call) { call.index_bytes = 2; }, "index_bytes");
    refuse(ep4j_low_latency_dispatch_receive(end.buffer, 0, 0, 1, end.stream), "not received");
    refuse(ep4j_low_latency_release(end.buffer, 0, end.stream), "received result");
    ep4j_low_latency_combine_call combine =
        rank.combine_call(tensors, 0, 0, Outputs::kStaged, false);
    refuse(ep4j_low_latency_combine(end.buffer, &combine, end.stream), "received result");
    result = rank.dispatch(rank.dispatch_call(tensors, 0, 1, false));
    refuse_dispatch([](auto&) {}, "region must be free");
    combine.log_fmt = 1;
    refuse(ep4j_low_latency_combine(end.buffer, &combine, end.stream), "LogFMT-10");
    combine.log_fmt = 0;
    combine.y = nullptr;
    refuse(ep4j_low_latency_combine(end.buffer, &combine, end.stream), "y must be given");
    combine = rank.combine_call(tensors, 0, 0, Outputs::kStaged, false);
    combine.num_sms = device.num_sms / 2 + 1;
    refuse(ep4j_low_latency_combine(end.buffer, &combine, end.stream), "num_sms");
    rank.check(result, plan.received[static_cast<size_t>(end.rank)]);
    end.expect_no_fault();
  });
  ep4j_low_latency_config wrong = config;
  wrong.hidden = 12;
  ep4j_buffer_config buffer = {};
  buffer.struct_size = sizeof buffer;
  buffer.num_ranks = 2;
  buffer.num_experts = 4;
  buffer.max_tokens = 16;
  buffer.max_topk = 2;
  buffer.max_row_bytes = 2 * config.hidden;
  buffer.num_regions = buffer.num_outputs = buffer.max_handles = 1;
  ep4j_buffer_memory memory = {};
  memory.struct_size = sizeof memory;
  expect(ep4j_buffer_bytes_low_latency(&buffer, &wrong, &memory) == EP4J_INVALID_ARGUMENT,
         "hidden 12");
  expect(ep4j_buffer_bytes_low_latency(&buffer, &config, &memory) == EP4J_OK &&
             memory.low_latency_dispatch_bytes > memory.low_latency_combine_bytes &&
             memory.low_latency_combine_bytes > 0,
         "bytes ", memory.low_latency_dispatch_bytes);
}

}  // namespace

void low_latency_fault_tests(Suite& suite) {
  suite.run("low latency: host refusals name the rule", host_refusals);
  for (bool hook : {false, true}) {
    const char* form = hook ? "hook" : "fused";
    suite.run(join("low latency: a silent rank, ", form), [=] { silent_rank(hook); });
    suite.run(join("low latency: an expert out of range, ", form),
              [=] { refused(6, EP4J_ROUTING_OUT_OF_RANGE, hook); });
    suite.run(join("low latency: an expert far out of range, ", form),
              [=] { refused((int64_t{1} << 40) + 1, EP4J_ROUTING_OUT_OF_RANGE, hook); });
    suite.run(join("low latency: an expert twice, ", form),
              [=] { refused(2, EP4J_ROUTING_TWICE, hook); });
  }
  suite.run("low latency: an inbox that this rank has not emptied", full_inbox);
  suite.run("low latency: an inbox that a peer does not empty", slow_receiver);
  suite.run("low latency: different dispatches", [] { different_calls(false); });
  suite.run("low latency: different combines", [] { different_calls(true); });
  suite.run("low latency: masked by the host", [] { masked(true); });
  suite.run("low latency: masked on a timeout", [] { masked(false); });
  suite.run("low latency: masked before the combine", masked_before_combine);
}

}  // namespace ep4j::test
