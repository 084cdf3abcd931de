// Every form of low-latency dispatch and combine against the oracle, bit for bit (LogFMT-10 within
// its rule), twice in a row and with two results open, so that inboxes, regions and outputs take
// turns.
#include <algorithm>
#include <chrono>
#include <thread>

#include "low_latency_forms.hpp"

namespace ep4j::test {
namespace {

void run_form(const Form& form) {
  const std::vector<LowLatencyPlan> plans = form_plans(form);
  World world = low_latency_world(form.c, low_latency_config(form.c));
  world.run([&](RankEnd& end) { round_trips(end, form, plans); });
}

// Two dispatches and two combines under way at once, received in the other order on odd ranks.
void open_hooks(const Case& c) {
  std::vector<LowLatencyPlan> plans = {low_latency_plan(c, 0), low_latency_plan(c, 1)};
  World world = low_latency_world(c, low_latency_config(c));
  world.run([&](RankEnd& end) {
    LowLatencyRank rank(end, c, low_latency_config(c));
    LowLatencyRank::Tensors tensors[2] = {rank.upload(plans[0]), rank.upload(plans[1])};
    const int first = end.rank % 2;
    const int second = 1 - first;
    for (int repeat = 0; repeat < 3; repeat++) {
      ep4j_low_latency_result results[2];
      for (int i = 0; i < 2; i++) {
        results[i] = rank.dispatch(rank.dispatch_call(tensors[i], i, -1, true));
      }
      rank.receive_dispatch(first);
      rank.receive_dispatch(second);
      for (int i = 0; i < 2; i++) {
        rank.combine(rank.combine_call(tensors[i], i, i, Outputs::kStaged, true), tensors[i],
                     Outputs::kStaged);
      }
      rank.receive_combine(first);
      rank.receive_combine(second);
      for (size_t i = 0; i < 2; i++) {
        rank.check(results[i], plans[i].received[static_cast<size_t>(end.rank)]);
        rank.check(tensors[i], plans[i], Outputs::kStaged);
        rank.release(static_cast<int>(i));
      }
    }
    end.expect_no_fault();
  });
}

// Statistics add up over calls; a rank that comes late is seen in the waiting times of the others.
void statistics(bool hook) {
  const Case c = low_latency_case(3, 6, 2, 64, {5, 9, 7});
  std::vector<LowLatencyPlan> plans = {low_latency_plan(c, 0)};
  World world = low_latency_world(c, low_latency_config(c));
  world.run([&](RankEnd& end) {
    LowLatencyRank rank(end, c, low_latency_config(c));
    LowLatencyRank::Tensors tensors = rank.upload(plans[0]);
    int32_t* stats = end.upload(std::vector<int32_t>{1000, 2000});
    int64_t* nanos = end.upload(std::vector<int64_t>(3, -1));
    for (int i = 0; i < 2; i++) {
      ep4j_low_latency_dispatch_call call = rank.dispatch_call(tensors, i, -1, hook);
      call.receive_stats = stats;
      call.wait_nanos = nanos;
      if (i == 1 && end.rank == 2) {
        std::this_thread::sleep_for(std::chrono::milliseconds(60));
      }
      rank.dispatch(call);
      if (hook) {
        rank.receive_dispatch(i);
      }
      end.sync();
    }
    const Received& want = plans[0].received[static_cast<size_t>(end.rank)];
    std::vector<int32_t> counted = end.download<int32_t>(stats, 2);
    for (size_t expert = 0; expert < 2; expert++) {
      const int rows = want.expert_offsets[expert + 1] - want.expert_offsets[expert];
      const int before = expert == 0 ? 1000 : 2000;
      expect(counted[expert] == before + 2 * rows, "expert ", expert, " counted ", counted[expert]);
    }
    std::vector<int64_t> waited = end.download<int64_t>(nanos, 3);
    for (int64_t nano : waited) {
      expect(nano >= 0 && nano < kTimeoutNanos, "waited ", nano);
    }
    if (end.rank != 2) {
      expect(waited[2] > 1'000'000, "rank 2 came late, waited for ", waited[2], " ns");
    }
    end.expect_no_fault();
  });
}

void run(Suite& suite, const Form& form) {
  suite.run("low latency: " + describe(form), [&] { run_form(form); });
}

void fixed_forms(Suite& suite, const Case& base) {
  for (Case c : casts_of(base)) {
    for (int path : {EP4J_COPY_AUTO, EP4J_COPY_LOAD_STORE}) {
      for (bool hook : {false, true}) {
        c.copy_path = path;
        run(suite, {c, hook});
      }
    }
  }
  for (Pattern pattern :
       {Pattern::kFull, Pattern::kOneExpert, Pattern::kNowhere, Pattern::kHalfTheRanks}) {
    Case c = base;
    c.pattern = pattern;
    run(suite, {c, false});
    c.index_bytes = 4;
    run(suite, {c, true});
  }
  for (int hidden : {512, 1024, 1536}) {
    for (bool hook : {false, true}) {
      Case c = base;
      c.hidden = hidden;
      run(suite, {c, hook, {Outputs::kLogFmtStaged, Outputs::kLogFmtInPlace, Outputs::kInPlace}});
    }
  }
}

void limits(Suite& suite) {
  Case wide = low_latency_case(2, 64, 8, 7168, {64, 50});
  for (const Case& c : casts_of(wide)) {
    run(suite, {c, false});
  }
  run(suite, {wide, true, {Outputs::kLogFmtStaged}});
  wide.tokens = {128, 128};
  wide.cast = EP4J_CAST_PLAIN;
  run(suite, {wide, false, {Outputs::kInPlace}});
  run(suite, {low_latency_case(2, 4, 3, 24, {4096, 3000}), false});
  run(suite, {low_latency_case(2, 4, 3, 24, {3000, 4096}), true});
  run(suite, {low_latency_case(2, 40, 32, 128, {70, 33}), false});
  run(suite, {low_latency_case(2, 2048, 8, 64, {20, 33}), false});
  run(suite, {low_latency_case(3, 6, 2, 40960, {7, 3, 2}), false});
  Case one_sm = low_latency_case(4, 8, 3, 264, {33, 0, 8, 100});
  one_sm.num_sms = 1;
  run(suite, {one_sm, false});
  run(suite, {one_sm, true});
}

}  // namespace

void low_latency_tests(Suite& suite, bool single_rank) {
  fixed_forms(suite, low_latency_case(1, 5, 3, 136, {37}));
  if (single_rank) {
    return;
  }
  fixed_forms(suite, low_latency_case(3, 12, 4, 136, {20, 0, 13}));
  limits(suite);
  for (uint64_t seed = 1; seed <= 50; seed++) {
    const int counts[] = {1, 2, 3, 4, 8};
    run(suite, awkward_form(seed, counts[seed % 5]));
  }
  run(suite, {low_latency_case(16, 64, 8, 256, std::vector<int>(16, 6)), false});
  for (int ranks : {1, 2, 3, 4, 8}) {
    Case c = low_latency_case(ranks, 4 * ranks, 3, 264, std::vector<int>(size_t(ranks), 11));
    suite.run(join("low latency: two hooks of each kind open, ", c.describe()),
              [=] { open_hooks(c); });
  }
  for (bool hook : {false, true}) {
    suite.run(join("low latency: statistics and waiting times, ", hook ? "hook" : "fused"),
              [=] { statistics(hook); });
  }
}

}  // namespace ep4j::test
