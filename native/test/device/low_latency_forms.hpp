// Forms of a low-latency round trip, and what one rank does in them: for ranks that are threads,
// and for ranks that are processes.
#pragma once

#include "low_latency.hpp"

namespace ep4j::test {

struct Form {
  Case c;
  bool hook = false;
  std::vector<Outputs> outputs = {Outputs::kStaged, Outputs::kInPlace};
};

std::string describe(const Form& form);

// What all ranks give and get: the first round's, the second's.
std::vector<LowLatencyPlan> form_plans(const Form& form);

// Dispatch and combine, several times, with every row checked; the result of a round is open while
// the next one comes in.
void round_trips(RankEnd& end, const Form& form, const std::vector<LowLatencyPlan>& plans);

// A case without a cast, and with each.
std::vector<Case> casts_of(Case c);

// Seeded sizes that nothing divides evenly.
Form awkward_form(uint64_t seed, int ranks);

// Plans of a soak: [cast][routing].
std::vector<std::vector<LowLatencyPlan>> soak_plans(const Case& c);

// Short rounds of all forms with random delays, every row checked; normal calls between them if
// they are wanted.
void soak_rank(RankEnd& end, const Case& c,
               const std::vector<std::vector<LowLatencyPlan>>& plans, int rounds, bool normal);

}  // namespace ep4j::test
