#include "oracle.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "check.hpp"

namespace ep4j::test {
namespace {

// A received row: which token of which rank, by which choice (expert-major).
struct Origin {
  int rank;
  int token;
  int slot;
};

bool goes_to_rank(const Case& c, const RankInput& input, int token, int rank) {
  for (int k = 0; k < c.topk; k++) {
    int64_t expert = input.topk_idx[static_cast<size_t>(token * c.topk + k)];
    if (expert >= 0 && expert / c.local_experts() == rank) {
      return true;
    }
  }
  return false;
}

// Received rows in their order; padding has rank -1.
std::vector<Origin> origins(const Case& c, const std::vector<RankInput>& inputs, int rank,
                            std::vector<int32_t>* offsets, std::vector<int32_t>* real) {
  std::vector<Origin> rows;
  if (c.rank_major()) {
    for (int source = 0; source < c.ranks; source++) {
      for (int token = 0; token < c.tokens[static_cast<size_t>(source)]; token++) {
        if (goes_to_rank(c, inputs[static_cast<size_t>(source)], token, rank)) {
          rows.push_back({source, token, -1});
        }
      }
    }
    return rows;
  }
  for (int local = 0; local < c.local_experts(); local++) {
    offsets->push_back(static_cast<int32_t>(rows.size()));
    int64_t expert = rank * c.local_experts() + local;
    for (int source = 0; source < c.ranks; source++) {
      const RankInput& input = inputs[static_cast<size_t>(source)];
      for (size_t i = 0; i < input.topk_idx.size(); i++) {
        if (input.topk_idx[i] == expert) {
          rows.push_back({source, static_cast<int>(i) / c.topk, static_cast<int>(i) % c.topk});
        }
      }
    }
    real->push_back(static_cast<int32_t>(rows.size()) - offsets->back());
    while (rows.size() % static_cast<size_t>(c.alignment) != 0) {
      rows.push_back({-1, -1, -1});
    }
  }
  offsets->push_back(static_cast<int32_t>(rows.size()));
  return rows;
}

double e4m3_value(int code) {
  int exponent = code >> 3;
  int fraction = code & 7;
  return exponent == 0 ? std::ldexp(fraction, -9) : std::ldexp(8 + fraction, exponent - 10);
}

uint8_t nearest_e4m3(float value) {
  if (std::isnan(value)) {
    return 0x7F;
  }
  double magnitude = std::fabs(static_cast<double>(value));
  int best = 0x7E;
  if (magnitude < 448) {
    int low = 0;
    while (e4m3_value(low + 1) <= magnitude) {
      low++;
    }
    double below = magnitude - e4m3_value(low);
    double above = e4m3_value(low + 1) - magnitude;
    best = below < above || (below == above && low % 2 == 0) ? low : low + 1;
  }
  return static_cast<uint8_t>(best | (std::signbit(value) ? 0x80 : 0));
}

uint32_t bits_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

// semantics.md, section 6.1, group by group.
void cast_row(const Case& c, const uint8_t* source, uint8_t* codes, uint32_t* scales) {
  constexpr int kGroup = 128;
  const uint16_t* row = reinterpret_cast<const uint16_t*>(source);
  for (int group = 0; group < c.hidden / kGroup; group++) {
    float amax = 1e-4f;
    for (int i = 0; i < kGroup; i++) {
      float magnitude = std::fabs(float_of_bf16(row[group * kGroup + i]));
      amax = magnitude > amax ? magnitude : amax;  // a NaN is not greater
    }
    bool infinite = std::isinf(amax);
    float scale = amax * (1.0f / 448.0f);
    float multiplier = 448.0f / amax;
    if (c.cast != EP4J_CAST_PLAIN && !infinite) {
      int exponent;
      float mantissa = std::frexp(scale, &exponent);
      exponent -= mantissa == 0.5f ? 1 : 0;
      scale = std::ldexp(1.0f, exponent);
      multiplier = std::ldexp(1.0f, -exponent);
    }
    for (int i = 0; i < kGroup; i++) {
      float value = float_of_bf16(row[group * kGroup + i]);
      codes[group * kGroup + i] = infinite ? 0x7F : nearest_e4m3(value * multiplier);
    }
    uint32_t bits = bits_of(infinite ? INFINITY : scale);
    if (c.cast == EP4J_CAST_UE8M0) {
      scales[group / 4] |= (bits >> 23) << (8 * (group % 4));
    } else {
      scales[group] = bits;
    }
  }
}

template <class T>
void expect_equal(const Case& c, const char* name, const std::vector<T>& got,
                  const std::vector<T>& want, size_t per_row) {
  expect(got.size() == want.size(), c.describe(), ": ", name, " has ", got.size(),
         " elements, not ", want.size());
  for (size_t i = 0; i < got.size(); i++) {
    if (std::memcmp(&got[i], &want[i], sizeof(T)) != 0) {
      expect(false, c.describe(), ": ", name, "[", i / per_row, ", ", i % per_row, "] is ", +got[i],
             ", not ", +want[i]);
    }
  }
}

}  // namespace

float float_of_bf16(uint16_t bf16) {
  uint32_t bits = uint32_t{bf16} << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

uint16_t bf16_of_float(float value) {
  if (std::isnan(value)) {
    return 0x7FFF;
  }
  uint32_t bits = bits_of(value);
  uint32_t rest = bits & 0xFFFF;
  uint32_t kept = bits >> 16;
  bool up = rest > 0x8000 || (rest == 0x8000 && kept % 2 == 1);
  return static_cast<uint16_t>(kept + (up ? 1 : 0));
}

Received expected_dispatch(const Case& c, const std::vector<RankInput>& inputs, int rank) {
  Received got;
  std::vector<Origin> rows = origins(c, inputs, rank, &got.expert_offsets, &got.tokens_per_expert);
  got.num_received = static_cast<int>(rows.size());
  got.x.resize(rows.size() * static_cast<size_t>(c.row_bytes()));
  got.scales.resize(rows.size() * static_cast<size_t>(c.wire_scale_words()));
  for (size_t row = 0; row < rows.size(); row++) {
    const Origin& from = rows[row];
    got.source_token.push_back(from.token);
    uint8_t* x = &got.x[row * static_cast<size_t>(c.row_bytes())];
    uint32_t* scales = got.scales.data() + row * static_cast<size_t>(c.wire_scale_words());
    if (from.rank >= 0) {
      const RankInput& input = inputs[static_cast<size_t>(from.rank)];
      const uint8_t* source =
          &input.x[static_cast<size_t>(from.token) * static_cast<size_t>(c.source_row_bytes())];
      if (c.cast != EP4J_CAST_NONE) {
        cast_row(c, source, x, scales);
      } else {
        std::memcpy(x, source, static_cast<size_t>(c.row_bytes()));
        std::copy_n(input.scales.begin() + from.token * c.scale_words, c.scale_words, scales);
      }
    }
    if (!c.rank_major()) {
      size_t choice = static_cast<size_t>(from.token * c.topk + from.slot);
      bool weighted = from.rank >= 0 && c.weights;
      got.weight.push_back(weighted ? inputs[static_cast<size_t>(from.rank)].topk_weights[choice]
                                    : 0.0f);
      got.source_rank.push_back(from.rank);
      got.topk_slot.push_back(from.slot);
      continue;
    }
    for (int k = 0; k < c.topk; k++) {
      const RankInput& input = inputs[static_cast<size_t>(from.rank)];
      size_t choice = static_cast<size_t>(from.token * c.topk + k);
      int64_t expert = input.topk_idx[choice];
      bool here = expert >= 0 && expert / c.local_experts() == rank;
      got.topk_idx.push_back(here ? expert % c.local_experts() : -1);
      got.topk_weights.push_back(here && c.weights ? input.topk_weights[choice] : 0.0f);
    }
  }
  if (c.rank_major()) {
    got.expert_offsets.clear();
    for (int source = 0; source < c.ranks; source++) {
      got.rank_prefix.push_back(static_cast<int32_t>(std::count_if(
          rows.begin(), rows.end(), [=](const Origin& o) { return o.rank <= source; })));
    }
    for (int local = 0; local < c.local_experts(); local++) {
      int64_t count = std::count(got.topk_idx.begin(), got.topk_idx.end(), local);
      got.tokens_per_expert.push_back(
          static_cast<int32_t>((count + c.alignment - 1) / c.alignment * c.alignment));
    }
  }
  return got;
}

// One row that comes back for a token of a rank.
struct Piece {
  int peer;
  size_t row;
};

// By (token, place in the order of the sum): destination rank, or top-k slot.
static std::vector<std::vector<Piece>> pieces_of(const Case& c, const std::vector<RankInput>& inputs,
                                                 int rank) {
  std::vector<std::vector<Piece>> pieces(
      static_cast<size_t>(c.tokens[static_cast<size_t>(rank)] * c.fanout()));
  for (int peer = 0; peer < c.ranks; peer++) {
    std::vector<int32_t> unused_offsets;
    std::vector<int32_t> unused_counts;
    std::vector<Origin> rows = origins(c, inputs, peer, &unused_offsets, &unused_counts);
    for (size_t row = 0; row < rows.size(); row++) {
      if (rows[row].rank == rank) {
        int order = c.rank_major() ? peer : rows[row].slot;
        pieces[static_cast<size_t>(rows[row].token * c.fanout() + order)].push_back({peer, row});
      }
    }
  }
  return pieces;
}

Combined expected_combine(const Case& c, const std::vector<RankInput>& inputs,
                          const std::vector<CombineInput>& outputs, int rank, bool weighted) {
  const size_t tokens = static_cast<size_t>(c.tokens[static_cast<size_t>(rank)]);
  const size_t hidden = static_cast<size_t>(c.hidden);
  const size_t topk = static_cast<size_t>(c.topk);
  const size_t fanout = static_cast<size_t>(c.fanout());
  const RankInput& own = inputs[static_cast<size_t>(rank)];
  const std::vector<std::vector<Piece>> pieces = pieces_of(c, inputs, rank);
  std::vector<uint16_t> first = make_bias(c, rank, 0);
  std::vector<uint16_t> second = make_bias(c, rank, 1);
  Combined combined;
  combined.weights.assign(tokens * topk, 0.0f);
  for (size_t token = 0; token < tokens; token++) {
    std::vector<float> total(hidden, 0.0f);
    for (size_t h = 0; h < hidden && c.biases > 0; h++) {
      size_t i = token * hidden + h;
      total[h] += c.biases == 1 ? float_of_bf16(first[i])
                                : float_of_bf16(first[i]) + float_of_bf16(second[i]);
    }
    for (int node = 0; node < c.nodes(); node++) {
      // Over several nodes a node's part is summed by itself and rounded.
      std::vector<float> part = c.nodes() == 1 ? total : std::vector<float>(hidden, 0.0f);
      std::vector<float> weights(topk, 0.0f);
      for (size_t slot = 0; slot < fanout; slot++) {
        for (const Piece& piece : pieces[token * fanout + slot]) {
          if (c.node_of(piece.peer) != node) {
            continue;
          }
          const CombineInput& from = outputs[static_cast<size_t>(piece.peer)];
          for (size_t h = 0; h < hidden; h++) {
            float value = float_of_bf16(from.y[piece.row * hidden + h]);
            part[h] = weighted ? std::fma(own.topk_weights[token * topk + slot], value, part[h])
                               : part[h] + value;
          }
          for (size_t k = 0; k < topk; k++) {
            if (c.rank_major()) {
              weights[k] += from.weights[piece.row * topk + k];
            } else if (k == slot) {
              combined.weights[token * topk + k] = from.weights[piece.row];
            }
          }
        }
      }
      for (size_t k = 0; k < topk && c.rank_major(); k++) {
        combined.weights[token * topk + k] += weights[k];
      }
      for (size_t h = 0; h < hidden; h++) {
        total[h] = c.nodes() == 1 ? part[h] : total[h] + float_of_bf16(bf16_of_float(part[h]));
      }
    }
    for (float sum : total) {
      combined.out.push_back(bf16_of_float(sum));
    }
  }
  return combined;
}

int64_t tokens_to_node(const Case& c, const RankInput& input, int node) {
  int64_t count = 0;
  for (size_t first = 0; first < input.topk_idx.size(); first += static_cast<size_t>(c.topk)) {
    bool goes = false;
    for (size_t k = 0; k < static_cast<size_t>(c.topk); k++) {
      int64_t expert = input.topk_idx[first + k];
      goes = goes || (expert >= 0 && c.node_of(static_cast<int>(expert / c.local_experts())) == node);
    }
    count += goes ? 1 : 0;
  }
  return count;
}

void expect_same(const Case& c, const Received& got, const Received& want, bool metadata) {
  expect(got.num_received == want.num_received, c.describe(), ": received ", got.num_received,
         " rows, not ", want.num_received);
  std::vector<uint8_t> x = got.x;
  std::vector<uint32_t> scales = got.scales;
  // Padding is undefined unless it is zero-filled.
  for (size_t row = 0; row < want.source_token.size() && !c.zero_fill; row++) {
    if (want.source_token[row] < 0) {
      size_t row_bytes = static_cast<size_t>(c.row_bytes());
      size_t words = static_cast<size_t>(c.wire_scale_words());
      std::fill_n(x.begin() + static_cast<int64_t>(row * row_bytes), row_bytes, uint8_t{0});
      std::fill_n(scales.begin() + static_cast<int64_t>(row * words), words, 0u);
    }
  }
  expect_equal(c, "x", x, want.x, static_cast<size_t>(c.row_bytes()));
  expect_equal(c, "scales", scales, want.scales,
               static_cast<size_t>(std::max(1, c.wire_scale_words())));
  if (!metadata) {
    return;
  }
  const size_t topk = static_cast<size_t>(c.topk);
  expect_equal(c, "sourceToken", got.source_token, want.source_token, 1);
  expect_equal(c, "topkIdx", got.topk_idx, want.topk_idx, topk);
  expect_equal(c, "topkWeights", got.topk_weights, want.topk_weights, topk);
  expect_equal(c, "rankPrefix", got.rank_prefix, want.rank_prefix, 1);
  expect_equal(c, "expertOffsets", got.expert_offsets, want.expert_offsets, 1);
  expect_equal(c, "weight", got.weight, want.weight, 1);
  expect_equal(c, "sourceRank", got.source_rank, want.source_rank, 1);
  expect_equal(c, "topkSlot", got.topk_slot, want.topk_slot, 1);
  expect_equal(c, "tokensPerExpert", got.tokens_per_expert, want.tokens_per_expert, 1);
}

void expect_same(const Case& c, const Combined& got, const Combined& want, bool weights) {
  expect_equal(c, "combined", got.out, want.out, static_cast<size_t>(c.hidden));
  if (weights) {
    expect_equal(c, "combined weights", got.weights, want.weights, static_cast<size_t>(c.topk));
  }
}

}  // namespace ep4j::test
