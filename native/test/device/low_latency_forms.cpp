#include "low_latency_forms.hpp"

#include <algorithm>

namespace ep4j::test {
namespace {

constexpr int kRounds = 3;

}  // namespace

std::string describe(const Form& form) {
  return join(form.c.describe(), form.hook ? ", hook" : ", fused");
}

void round_trips(RankEnd& end, const Form& form, const std::vector<LowLatencyPlan>& plans) {
  const Case& c = form.c;
  LowLatencyRank rank(end, c, low_latency_config(c));
  std::vector<LowLatencyRank::Tensors> tensors;
  for (const LowLatencyPlan& plan : plans) {
    tensors.push_back(rank.upload(plan));
  }
  int combines = 0;
  for (int round = 0; round < kRounds; round++) {
    const size_t r = static_cast<size_t>(round) % plans.size();
    const int region = round % 2;
    const int reserved = form.hook ? -1 : combines % 2;
    ep4j_low_latency_result result =
        rank.dispatch(rank.dispatch_call(tensors[r], region, reserved, form.hook));
    if (form.hook) {
      rank.receive_dispatch(region);
    }
    rank.check(result, plans[r].received[static_cast<size_t>(end.rank)]);
    for (Outputs outputs : form.outputs) {
      const int output = combines++ % 2;
      rank.combine(rank.combine_call(tensors[r], region, output, outputs, form.hook), tensors[r],
                   outputs);
      if (form.hook) {
        rank.receive_combine(output);
      }
      rank.check(tensors[r], plans[r], outputs);
    }
    if (round > 0) {
      rank.release(1 - region);
    }
  }
  rank.release((kRounds - 1) % 2);
  end.expect_no_fault();
}

std::vector<LowLatencyPlan> form_plans(const Form& form) {
  const bool log_fmt = std::any_of(form.outputs.begin(), form.outputs.end(), is_log_fmt);
  return {low_latency_plan(form.c, 0, log_fmt), low_latency_plan(form.c, 1, log_fmt)};
}

std::vector<Case> casts_of(Case c) {
  std::vector<Case> cases = {c};
  for (int cast : {EP4J_CAST_PLAIN, EP4J_CAST_ROUNDED, EP4J_CAST_UE8M0}) {
    c.cast = cast;
    c.hidden = (c.hidden + 127) / 128 * 128;
    cases.push_back(c);
  }
  return cases;
}

Form awkward_form(uint64_t seed, int ranks) {
  const int hiddens[] = {8, 24, 136, 384, 512, 1152, 1160, 2048, 3592, 4608, 7168};
  Form form;
  const int topk = 1 + static_cast<int>(mix(seed, 1) % 10);
  const int experts = ranks * (1 + static_cast<int>(mix(seed, 2) % 8));
  std::vector<int> tokens;
  for (int rank = 0; rank < ranks; rank++) {
    const int counts[] = {0, 1, 13, 40};
    tokens.push_back(counts[mix(seed, 4, static_cast<uint64_t>(rank)) % 4]);
  }
  form.c = low_latency_case(ranks, experts, std::min(topk, experts), hiddens[mix(seed, 3) % 11],
                            tokens);
  form.c.seed = seed;
  form.c.index_bytes = mix(seed, 5) % 2 == 0 ? 4 : 8;
  form.c.num_sms = mix(seed, 6) % 2 == 0 ? 0 : 1 + static_cast<int>(mix(seed, 7) % 15);
  form.c.copy_path = mix(seed, 8) % 3 == 0 ? EP4J_COPY_LOAD_STORE : EP4J_COPY_AUTO;
  form.c.cast = form.c.hidden % 128 == 0 ? static_cast<int>(mix(seed, 9) % 4) : EP4J_CAST_NONE;
  form.hook = mix(seed, 10) % 2 == 0;
  if (form.c.hidden % 512 == 0) {
    form.outputs.push_back(Outputs::kLogFmtStaged);
    form.outputs.push_back(Outputs::kLogFmtInPlace);
  }
  return form;
}

}  // namespace ep4j::test
