// One output: expert outputs on their way back, written by the expert's rank and read there by the
// tokens' ranks.
//
//   x       [R, hidden] BF16
//   weights [R, weights_per_row] float32
#pragma once

#include "layout/limits.hpp"

namespace ep4j {

struct OutputLayout {
  int64_t rows;  // R
  int64_t row_bytes;
  int weights_per_row;  // K in rank-major order, 1 in expert-major order, 0 without weights

  EP4J_HOST_DEVICE constexpr int64_t x() const { return 0; }
  EP4J_HOST_DEVICE constexpr int64_t weights() const { return lines(rows * row_bytes); }
  EP4J_HOST_DEVICE constexpr int64_t bytes() const {
    return weights() + lines(rows * weights_per_row * 4);
  }
};

}  // namespace ep4j
