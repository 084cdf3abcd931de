// What suites of one node and of several have in common.
#pragma once

#include "world.hpp"

namespace ep4j::test {

// Both rounds of a case, on each copy path and in an arena.
void run_round_trips(Suite& suite, const Case& c, const std::vector<int>& paths);

// The same once, on ranks whose buffers are made for the case.
void round_trips(Ranks& ranks, const Case& c);

// A case in every form that calls have.
std::vector<Case> variants_of(const Case& base);

// One node, a multiprocessor for each rank: every warp has many tokens, of which most may go nowhere.
std::vector<Case> crowded();

// Seeded sizes that nothing divides evenly.
Case awkward(uint64_t seed, int ranks);

// Short rounds with delays, every row checked.
void soak(Ranks& ranks, const Case& c, int rounds);
void soak(const Case& c, int rounds);

// Replays of a captured dispatch and combine, with eager calls between.
void replay(Ranks& ranks, const Case& c, int replays);
void replay(const Case& c, int replays);

// Faults; the case has two ranks at least. Rank 2 is the odd one, of two ranks the last. masked wants
// ranks that mask on a timeout unless the host does it.
void silent_rank(Ranks& ranks, const Case& c);
void overflow(Ranks& ranks, const Case& c, bool bounded);
void refused(Ranks& ranks, const Case& c, int64_t value, int rule);
void masked(Ranks& ranks, const Case& c, bool by_host);
void silent_rank(const Case& c);
void overflow(Case c, bool bounded);
void refused(const Case& c, int64_t value, int rule);
void masked(const Case& c, bool by_host);

}  // namespace ep4j::test
