#include "membership.hpp"

#include <algorithm>

namespace ep4j::test {

ep4j_standing look(RankEnd& end) {
  ep4j_standing standing = {};
  standing.struct_size = sizeof standing;
  ok(ep4j_look(end.buffer, kTimeoutNanos, &standing), "looking");
  return standing;
}

void expect_masked(RankEnd& end, uint32_t wanted) {
  uint32_t ranks = 0;
  ok(ep4j_masked(end.buffer, &ranks), "masked");
  expect(ranks == wanted, "rank ", end.rank, " masks ", ranks, ", not ", wanted);
}

Received with_lost_rows(const Case& c, Received want, int lost) {
  const size_t row_bytes = static_cast<size_t>(c.row_bytes());
  const size_t topk = static_cast<size_t>(c.topk);
  for (size_t row = 0; row < want.source_token.size(); row++) {
    const int32_t before = lost == 0 ? 0 : want.rank_prefix.empty()
                                               ? 0
                                               : want.rank_prefix[static_cast<size_t>(lost - 1)];
    const bool gone = c.rank_major() ? static_cast<int32_t>(row) >= before &&
                                           static_cast<int32_t>(row) <
                                               want.rank_prefix[static_cast<size_t>(lost)]
                                     : want.source_rank[row] == lost;
    if (!gone) {
      continue;
    }
    std::fill_n(want.x.begin() + static_cast<int64_t>(row * row_bytes), row_bytes, uint8_t{0});
    want.source_token[row] = -1;
    if (c.rank_major()) {
      std::fill_n(want.topk_idx.begin() + static_cast<int64_t>(row * topk), topk, int64_t{-1});
      std::fill_n(want.topk_weights.begin() + static_cast<int64_t>(row * topk), topk, 0.0f);
    } else {
      want.weight[row] = 0.0f;
      want.source_rank[row] = -1;
      want.topk_slot[row] = -1;
    }
  }
  return want;
}

void deliver(RankEnd& end, const Case& c, const ep4j_dispatch_call& call, const Received& want) {
  ep4j_dispatch_result result = issue(end, call);
  int32_t rows;
  if (c.bounded) {
    rows = end.download<int32_t>(result.num_received, 1)[0];
  } else {
    std::vector<int32_t> per_expert;
    ep4j_counts counts = await_counts(end, c, call.ticket, per_expert);
    expect(counts.verdict == EP4J_SENT, "rank ", end.rank, ": verdict ", counts.verdict);
    rows = counts.num_received;
  }
  expect_same(c, read_result(end, c, result, rows, true), want, true);
}

void round(RankEnd& end, const Case& c, const ep4j_dispatch_call& call, const Received& want) {
  deliver(end, c, call, want);
  ok(ep4j_region_release(end.buffer, call.region, end.stream), "releasing");
}

}  // namespace ep4j::test
