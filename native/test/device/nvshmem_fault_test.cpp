// Faults of ranks that are PEs: one that never calls, and one that is killed. What is waited for
// ends at a deadline, what is closed ends, and nothing of NVSHMEM is called after a death.
#include <chrono>

#include "low_latency_forms.hpp"
#include "nvshmem_test.hpp"

namespace ep4j::test {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

Case fault_case(const PeGroup& group) {
  std::vector<int> tokens;
  for (int rank = 0; rank < group.ranks(); rank++) {
    tokens.push_back(5 + 4 * rank);
  }
  return low_latency_case(group.ranks(), 2 * group.ranks(), 2, 64, tokens);
}

// The last rank never calls. Rank 0 gives up at its deadline, the others, which would wait longer,
// learn it from rank 0.
void silent_rank(PeGroup& group, bool forced) {
  const Case c = fault_case(group);
  const ep4j_low_latency_config config = low_latency_config(c);
  const LowLatencyPlan plan = low_latency_plan(c, 0);
  PeWorld world(group, c, &config, {forced, false});
  RankEnd& end = world.end();
  LowLatencyRank rank(end, c, config);
  const int silent = group.ranks() - 1;
  if (end.rank != silent) {
    const LowLatencyRank::Tensors tensors = rank.upload(plan);
    ep4j_low_latency_dispatch_call call = rank.dispatch_call(tensors, 0, -1, false);
    call.timeout_nanos = end.rank == 0 ? kShortNanos : kTimeoutNanos;
    const auto begin = Clock::now();
    rank.dispatch(call);
    end.sync();
    expect(seconds_since(begin) < 6, "waited ", seconds_since(begin), " s");
    expect_fault(end.fault(), end.rank == 0 ? EP4J_FAULT_TIMEOUT : EP4J_FAULT_PEER_FAILED,
                 EP4J_STAGE_ARRIVAL, silent, 0);
    rank.dispatch(rank.dispatch_call(tensors, 1, 0, false));  // returns at once
    end.sync();
  }
  group.meet();
}

// The others go on without the last rank, masked on a timeout; then it learns that.
void masked_rank(PeGroup& group, bool forced) {
  const Case c = fault_case(group);
  const ep4j_low_latency_config config = low_latency_config(c);
  const LowLatencyPlan whole = low_latency_plan(c, 0);
  const int silent = group.ranks() - 1;
  const LowLatencyPlan plan = low_latency_plan(c, without_rank(c, whole.inputs, silent), 0);
  PeWorld world(group, c, &config, {forced, true});
  RankEnd& end = world.end();
  LowLatencyRank rank(end, c, config);
  LowLatencyRank::Tensors tensors = rank.upload(end.rank == silent ? whole : plan);
  if (end.rank != silent) {
    tensors.input = upload_input(end, c, whole.inputs[static_cast<size_t>(end.rank)]);
    for (int i = 0; i < 4; i++) {
      ep4j_low_latency_dispatch_call call = rank.dispatch_call(tensors, 0, i % 2, false);
      call.timeout_nanos = kShortNanos;
      const ep4j_low_latency_result result = rank.dispatch(call);
      rank.check(result, plan.received[static_cast<size_t>(end.rank)]);
      const Outputs outputs = i < 2 ? Outputs::kStaged : Outputs::kInPlace;
      rank.combine(rank.combine_call(tensors, 0, i % 2, outputs, false), tensors, outputs);
      rank.check(tensors, plan, outputs);
      rank.release(0);
    }
    end.expect_no_fault();
  }
  group.meet();
  if (end.rank == silent) {
    rank.dispatch(rank.dispatch_call(tensors, 0, -1, false));
    end.sync();
    const ep4j_error_record record = end.fault();
    expect(record.fault == EP4J_FAULT_MASKED, "fault ", record.fault);
  }
  group.meet();
}

void refuse_second_start(PeGroup& group) {
  ep4j_nvshmem_config config = {};
  config.struct_size = sizeof config;
  config.num_ranks = group.ranks();
  config.rank = group.rank();
  config.release_timeout_nanos = 1;
  config.ibgda = -1;
  config.service_level = -1;
  const ep4j_nvshmem_id id = {};
  expect(ep4j_nvshmem_start(&config, &id) == EP4J_INVALID_ARGUMENT &&
             std::string(ep4j_last_error()).find("once") != std::string::npos,
         ep4j_last_error());
}

ep4j_nvshmem_standing look() {
  ep4j_nvshmem_standing standing = {};
  standing.struct_size = sizeof standing;
  ok(ep4j_nvshmem_look(&standing), "looking");
  return standing;
}

// After a round of all ranks the last one is killed between calls; the others mask it, go on, and
// close.
void killed_rank(PeGroup& group, bool known) {
  const Case c = fault_case(group);
  const ep4j_low_latency_config config = low_latency_config(c);
  const LowLatencyPlan whole = low_latency_plan(c, 0);
  const int killed = group.ranks() - 1;
  const LowLatencyPlan plan = low_latency_plan(c, without_rank(c, whole.inputs, killed), 0);
  PeWorld world(group, c, &config, {false, true});
  RankEnd& end = world.end();
  LowLatencyRank rank(end, c, config);
  LowLatencyRank::Tensors tensors = rank.upload(whole);
  rank.check(rank.dispatch(rank.dispatch_call(tensors, 0, 0, false)),
             whole.received[static_cast<size_t>(end.rank)]);
  rank.release(0);
  end.sync();
  group.meet();
  if (end.rank == killed) {
    group.expire();
  }
  group.await_end_of(killed);
  ep4j_low_latency_dispatch_call call = rank.dispatch_call(tensors, 0, 0, false);
  call.timeout_nanos = kShortNanos;
  rank.check(rank.dispatch(call), plan.received[static_cast<size_t>(end.rank)]);
  rank.release(0);
  end.expect_no_fault();
  const auto begin = Clock::now();
  world.close(known);
  const double took = seconds_since(begin);
  expect(took < 8, "closing took ", took, " s");
  expect(look().abandoned == 1 && look().abandoned_bytes > 0, "the heap must be abandoned");
  ep4j_buffer* buffer = nullptr;
  const ep4j_buffer_config other = buffer_config(c, end.rank, 2, 2, false);
  ep4j_nvshmem_window window = {};
  window.struct_size = sizeof window;
  window.bytes = 1 << 20;
  expect(ep4j_nvshmem_buffer_create(&other, nullptr, &window, &buffer) == EP4J_INVALID_ARGUMENT &&
             std::string(ep4j_last_error()).find("abandoned") != std::string::npos,
         ep4j_last_error());
}

}  // namespace

void nvshmem_fault_tests(PeSuite& suite, PeGroup& group) {
  suite.run("NVSHMEM starts once", [&] { refuse_second_start(group); });
  for (bool forced : {false, true}) {
    const char* reach = forced ? "as over a network" : "within reach";
    suite.run(join("a silent rank, ", reach), [&] { silent_rank(group, forced); });
    suite.run(join("a rank masked on a timeout, ", reach), [&] { masked_rank(group, forced); });
  }
}

void nvshmem_death_test(PeSuite& suite, PeGroup& group, bool known) {
  suite.run(join("a killed rank, ", known ? "known" : "not known", " to be dead"),
            [&] { killed_rank(group, known); });
}

}  // namespace ep4j::test
