// What suites of one node and of several have in common.
#pragma once

#include "world.hpp"

namespace ep4j::test {

// Both rounds of a case, on each copy path and in an arena.
void run_round_trips(Suite& suite, const Case& c, const std::vector<int>& paths);

// A case in every form that calls have.
std::vector<Case> variants_of(const Case& base);

// Seeded sizes that nothing divides evenly.
Case awkward(uint64_t seed, int ranks);

// Short rounds with delays, every row checked.
void soak(const Case& c, int rounds);

// Replays of a captured dispatch and combine, with eager calls between.
void replay(const Case& c, int replays);

// Faults; the case has three ranks at least, of which rank 2 is the odd one.
void silent_rank(const Case& c);
void overflow(Case c, bool bounded);
void refused(const Case& c, int64_t value, int rule);
void masked(const Case& c, bool by_host);

}  // namespace ep4j::test
