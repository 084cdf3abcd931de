// One dispatch region: every received row at its final place, and beside it what is known about
// the row. The receiver chooses the capacity C and tells it in its grant; sender and receiver build
// the same layout from it.
//
//   x                 [C, row_bytes]
//   scales            [C, scale_words] 4-byte words
//   topk_idx          [C, K] of the routing's type      rank-major
//   topk_weights      [C, K] float32                    rank-major
//   weight            [C] float32                       expert-major
//   source_rank       [C] int32                         expert-major
//   topk_slot         [C] int32                         expert-major
//   source_token      [C] int32
//   rank_prefix       [n] int32
//   expert_offsets    [local experts + 1] int32
//   tokens_per_expert [local experts] int32
//   num_received      [1] int32
//
// Fields start on lines. A cached dispatch has x and scales only.
#pragma once

#include "layout/limits.hpp"

namespace ep4j {

// What a row carries.
struct RowForm {
  int32_t order;        // ep4j_order
  int32_t row_bytes;    // of one row of x
  int32_t scale_words;  // 4-byte words of scales per row
  int32_t num_topk;     // K; 0 for a cached dispatch, which carries no metadata
  int32_t index_bytes;  // of one expert index

  EP4J_HOST_DEVICE constexpr bool has_metadata() const { return num_topk > 0; }
  EP4J_HOST_DEVICE constexpr bool rank_major() const { return order == EP4J_RANK_MAJOR; }
};

struct RegionLayout {
  RowForm form;
  int num_ranks;
  int local_experts;
  int64_t rows;  // C

  EP4J_HOST_DEVICE constexpr int64_t x() const { return 0; }
  EP4J_HOST_DEVICE constexpr int64_t scales() const { return lines(rows * form.row_bytes); }
  EP4J_HOST_DEVICE constexpr int64_t topk_idx() const {
    return scales() + lines(rows * form.scale_words * 4);
  }
  EP4J_HOST_DEVICE constexpr int64_t topk_weights() const {
    return topk_idx() + per_choice(form.index_bytes);
  }
  EP4J_HOST_DEVICE constexpr int64_t weight() const { return topk_weights() + per_choice(4); }
  EP4J_HOST_DEVICE constexpr int64_t source_rank() const { return weight() + per_expert_row(); }
  EP4J_HOST_DEVICE constexpr int64_t topk_slot() const { return source_rank() + per_expert_row(); }
  EP4J_HOST_DEVICE constexpr int64_t source_token() const { return topk_slot() + per_expert_row(); }
  EP4J_HOST_DEVICE constexpr int64_t rank_prefix() const {
    return source_token() + (form.has_metadata() ? lines(4 * rows) : 0);
  }
  EP4J_HOST_DEVICE constexpr int64_t expert_offsets() const {
    return rank_prefix() + per_call(num_ranks);
  }
  EP4J_HOST_DEVICE constexpr int64_t tokens_per_expert() const {
    return expert_offsets() + per_call(local_experts + 1);
  }
  EP4J_HOST_DEVICE constexpr int64_t num_received() const {
    return tokens_per_expert() + per_call(local_experts);
  }
  EP4J_HOST_DEVICE constexpr int64_t bytes() const { return num_received() + per_call(1); }

  // The same, for other rows.
  EP4J_HOST_DEVICE constexpr RegionLayout with_rows(int64_t other) const {
    return {form, num_ranks, local_experts, other};
  }

  // The most rows, up to those of this layout, whose region is no larger than a place; -1 if not
  // even a region without rows is.
  constexpr int64_t rows_in(int64_t place_bytes) const {
    int64_t fits = -1;
    for (int64_t low = 0, high = rows; low <= high;) {
      int64_t middle = low + (high - low) / 2;
      bool small = with_rows(middle).bytes() <= place_bytes;
      fits = small ? middle : fits;
      low = small ? middle + 1 : low;
      high = small ? high : middle - 1;
    }
    return fits;
  }

 private:
  EP4J_HOST_DEVICE constexpr int64_t per_choice(int element_bytes) const {
    return form.has_metadata() && form.rank_major() ? lines(rows * form.num_topk * element_bytes)
                                                    : 0;
  }
  EP4J_HOST_DEVICE constexpr int64_t per_expert_row() const {
    return form.has_metadata() && !form.rank_major() ? lines(4 * rows) : 0;
  }
  EP4J_HOST_DEVICE constexpr int64_t per_call(int64_t words) const {
    return form.has_metadata() ? lines(4 * words) : 0;
  }
};

}  // namespace ep4j
