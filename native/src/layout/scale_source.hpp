// Where the scales of a dispatch's rows come from.
#pragma once

#include <cstdint>

namespace ep4j {

// Scales that travel with FP8 rows.
struct ScaleSource {
  const uint32_t* words;  // null without scales, or with a cast
  int64_t stride_token;
  int64_t stride_word;
};

}  // namespace ep4j
