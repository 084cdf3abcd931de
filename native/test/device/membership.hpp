// What tests of masks have in common.
#pragma once

#include "world.hpp"

namespace ep4j::test {

// The rank that the others lose.
constexpr int kAway = 2;

ep4j_standing look(RankEnd& end);

void expect_masked(RankEnd& end, uint32_t wanted);

// A result in which the rows of a rank are lost: they keep their places, marked as nobody's.
Received with_lost_rows(const Case& c, Received want, int lost);

// A counted dispatch whose result is compared.
void deliver(RankEnd& end, const Case& c, const ep4j_dispatch_call& call, const Received& want);

// The same, and its region is released.
void round(RankEnd& end, const Case& c, const ep4j_dispatch_call& call, const Received& want);

}  // namespace ep4j::test
