// Low-latency mode over NVSHMEM, ranks being processes on one device: peers within reach, and the
// same peers written to as over a network. Every row against the oracle of the other low-latency
// tests.
#include <algorithm>
#include <chrono>

#include "low_latency_forms.hpp"
#include "nvshmem_test.hpp"

namespace ep4j::test {
namespace {

const char* name_of(bool forced) { return forced ? "as over a network" : "within reach"; }

std::string attempt(const std::function<void()>& body) {
  try {
    body();
    return "";
  } catch (const std::exception& error) {
    return error.what();
  }
}

uint32_t all_of(const PeGroup& group) { return (uint32_t{1} << group.ranks()) - 1; }

// Each rank may be a node, which low latency knows nothing of.
void form_case(PeGroup& group, const Form& form, bool forced, bool are_nodes) {
  const std::vector<LowLatencyPlan> plans = form_plans(form);
  const ep4j_low_latency_config config = low_latency_config(form.c);
  Case c = form.c;
  c.ranks_per_node = are_nodes ? 1 : 0;
  PeWorld world(group, c, &config, {forced, false});
  uint32_t reached = 0;
  ok(ep4j_nvshmem_reached(world.end().buffer, &reached), "asking for reach");
  expect(reached == (forced ? uint32_t{1} << group.rank() : all_of(group)), "reached ", reached);
  round_trips(world.end(), form, plans);
}

// A normal-mode round trip needs loads and stores; over a network it is refused by name.
void normal_case(PeGroup& group, bool forced) {
  Case c;
  c.ranks = group.ranks();
  c.experts = 4 * c.ranks;
  c.topk = 3;
  c.hidden = 264;
  c.tokens = std::vector<int>(static_cast<size_t>(c.ranks), 33);
  const std::vector<RankInput> inputs = make_inputs(c, 0);
  const Received want = expected_dispatch(c, inputs, group.rank());
  PeWorld world(group, c, nullptr, {forced, false});
  RankEnd& end = world.end();
  const DeviceInput input = upload_input(end, c, inputs[static_cast<size_t>(group.rank())]);
  ep4j_dispatch_call call = dispatch_call(c, group.rank(), input, 0, 0, 7);
  ep4j_dispatch_result result = {};
  result.struct_size = sizeof result;
  if (forced) {
    expect(ep4j_dispatch(end.buffer, &call, &result, end.stream) == EP4J_INVALID_ARGUMENT &&
               std::string(ep4j_last_error()).find("network") != std::string::npos,
           ep4j_last_error());
    return;
  }
  result = issue(end, call);
  std::vector<int32_t> tokens_per_expert;
  const ep4j_counts counts = await_counts(end, c, 7, tokens_per_expert);
  expect_same(c, read_result(end, c, result, counts.num_received, true), want, true);
  end.expect_no_fault();
}

void soak_case(PeGroup& group, int rounds, bool forced) {
  std::vector<int> tokens;
  for (int rank = 0; rank < group.ranks(); rank++) {
    tokens.push_back(5 + 9 * rank);
  }
  const Case c = low_latency_case(group.ranks(), 4 * group.ranks(), 3, 512, tokens);
  const std::vector<std::vector<LowLatencyPlan>> plans = soak_plans(c);
  const ep4j_low_latency_config config = low_latency_config(c);
  PeWorld world(group, c, &config, {forced, false});
  soak_rank(world.end(), c, plans, rounds, !forced);
}

std::vector<Form> fixed_forms(int ranks) {
  std::vector<int> tokens = {20, 0, 13, 31};
  tokens.resize(static_cast<size_t>(ranks), 7);
  const Case base = low_latency_case(ranks, 4 * ranks, 4, 136, tokens);
  std::vector<Form> forms;
  for (const Case& c : casts_of(base)) {
    forms.push_back({c, false});
    forms.push_back({c, true});
  }
  Case load_store = base;
  load_store.copy_path = EP4J_COPY_LOAD_STORE;
  forms.push_back({load_store, false});
  for (Pattern pattern : {Pattern::kFull, Pattern::kOneExpert, Pattern::kNowhere}) {
    Case c = base;
    c.pattern = pattern;
    forms.push_back({c, false});
  }
  for (int hidden : {512, 1024}) {
    Case c = base;
    c.hidden = hidden;
    forms.push_back(
        {c, hidden == 1024, {Outputs::kLogFmtStaged, Outputs::kLogFmtInPlace, Outputs::kInPlace}});
  }
  Case wide = low_latency_case(ranks, 32, 8, 7168, std::vector<int>(tokens.size(), 64));
  wide.cast = EP4J_CAST_PLAIN;
  forms.push_back({wide, false});
  return forms;
}

}  // namespace

void PeSuite::run(const std::string& name, const std::function<void()>& body) {
  if (group_.rank() != 0) {
    if (failed_ < Suite::kMostFailures) {
      failed_ += group_.join_failures(attempt(body)).empty() ? 0 : 1;
    }
    return;
  }
  suite_.run(join(name, ", ", group_.ranks(), " PEs"), [&] {
    const std::string failures = group_.join_failures(attempt(body));
    expect(failures.empty(), failures);
  });
}

int PeSuite::finish() const { return group_.rank() == 0 ? suite_.finish() : 0; }

void nvshmem_form_tests(PeSuite& suite, PeGroup& group, int seeds) {
  for (bool forced : {false, true}) {
    suite.run(join("normal mode, ", name_of(forced)), [&] { normal_case(group, forced); });
    std::vector<Form> forms = fixed_forms(group.ranks());
    for (int seed = 1; seed <= seeds; seed++) {
      forms.push_back(awkward_form(static_cast<uint64_t>(seed), group.ranks()));
    }
    for (const Form& form : forms) {
      suite.run(join(name_of(forced), ": ", describe(form)),
                [&] { form_case(group, form, forced, false); });
    }
    if (group.ranks() > 1) {
      suite.run(join(name_of(forced), ", each rank a node: ", describe(forms.front())),
                [&] { form_case(group, forms.front(), forced, true); });
    }
  }
}

void nvshmem_soak_tests(PeSuite& suite, PeGroup& group, int rounds) {
  for (bool forced : {false, true}) {
    suite.run(join(rounds, " alternating rounds, ", name_of(forced)),
              [&] { soak_case(group, rounds, forced); });
  }
}

}  // namespace ep4j::test
