// Cases: their sizes and names, lists of them, and what ranks give in them.
#include <algorithm>
#include <cstring>

#include "suites.hpp"

namespace ep4j::test {

int Case::wire_scale_words() const {
  int groups = hidden / 128;
  return cast == EP4J_CAST_NONE ? scale_words
                                : (cast == EP4J_CAST_UE8M0 ? (groups + 3) / 4 : groups);
}

int Case::max_tokens() const {
  int most = 1;
  for (int count : tokens) {
    most = std::max(most, count);
  }
  return most;
}

int64_t Case::rows() const {
  if (capacity_rows > 0) {
    return capacity_rows;
  }
  int64_t arriving = int64_t{ranks} * max_tokens();
  return rank_major() ? arriving
                      : arriving * std::min(topk, local_experts()) +
                            int64_t{local_experts()} * (alignment - 1);
}

std::string Case::describe() const {
  std::string text = join(ranks, " ranks, T");
  for (int count : tokens) {
    text += join(" ", count);
  }
  text += join(", H ", hidden, ", K ", topk, " of ", experts, rank_major() ? "" : ", expert-major");
  text += alignment > 1 ? join(", alignment ", alignment) : "";
  text += zero_fill ? ", zero-filled" : "";
  text += bounded ? join(", bounded ", rows()) : "";
  text += dtype == EP4J_FP8_E4M3 ? ", FP8" : "";
  text += cast != EP4J_CAST_NONE ? join(", cast ", cast) : "";
  text += scale_words > 0 ? join(", S ", scale_words, column_major_scales ? " by column" : "") : "";
  text += index_bytes == 4 ? ", int32" : "";
  text += weights ? "" : ", no weights";
  text += biases > 0 ? join(", ", biases, " biases") : "";
  text += join(", pattern ", static_cast<int>(pattern));
  if (nodes() > 1) {
    text += join(", ", nodes(), " nodes, staging ", staging_rows, ", fabric seed ", fabric_seed);
  }
  text += copy_path == EP4J_COPY_LOAD_STORE ? ", load/store" : "";
  return text + join(", ", num_sms, " SMs, seed ", seed);
}

uint64_t mix(uint64_t a, uint64_t b, uint64_t c, uint64_t d) {
  uint64_t z = a;
  for (uint64_t next : {b, c, d}) {
    z = (z ^ next) + 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    z ^= z >> 31;
  }
  return z;
}

uint16_t random_bf16(uint64_t bits) {
  uint16_t exponent = static_cast<uint16_t>(127 - 4 + (bits >> 8) % 8);
  return static_cast<uint16_t>((bits & 0x80) << 8 | exponent << 7 | (bits & 0x7F));
}

std::vector<RankInput> make_inputs(const Case& c, uint64_t round) {
  std::vector<RankInput> inputs;
  for (int rank = 0; rank < c.ranks; rank++) {
    const uint64_t seed = mix(c.seed, round, static_cast<uint64_t>(rank), 1);
    const size_t tokens = static_cast<size_t>(c.tokens[static_cast<size_t>(rank)]);
    const size_t choices = tokens * static_cast<size_t>(c.topk);
    RankInput input;
    input.x.resize(tokens * static_cast<size_t>(c.source_row_bytes()));
    for (size_t i = 0; c.dtype == EP4J_BF16 && i < input.x.size() / 2; i++) {
      uint16_t value = random_bf16(mix(seed, i));
      std::memcpy(&input.x[2 * i], &value, 2);
    }
    for (size_t i = 0; c.dtype != EP4J_BF16 && i < input.x.size(); i++) {
      input.x[i] = static_cast<uint8_t>(mix(seed, i));
    }
    for (size_t i = 0; i < tokens * static_cast<size_t>(c.scale_words); i++) {
      input.scales.push_back(static_cast<uint32_t>(mix(seed, i, 2)));
    }
    for (size_t i = 0; i < choices; i++) {
      input.topk_weights.push_back(static_cast<float>(mix(seed, i, 3) % 1000) / 512.0f);
    }
    input.topk_idx.assign(choices, -1);
    int pool = c.pattern == Pattern::kHalfTheRanks ? std::max(c.topk, c.experts / 2) : c.experts;
    for (size_t token = 0; token < tokens && c.pattern != Pattern::kNowhere; token++) {
      int64_t* choice = &input.topk_idx[token * static_cast<size_t>(c.topk)];
      if (c.pattern == Pattern::kOneExpert) {
        choice[token % static_cast<size_t>(c.topk)] = c.experts - 1;
        continue;
      }
      if (c.pattern == Pattern::kFewTokens && token % 9 != 0) {
        continue;
      }
      for (int k = 0; k < c.topk; k++) {
        uint64_t draw = mix(seed, token, static_cast<uint64_t>(k), 4);
        do {
          choice[k] = static_cast<int64_t>(draw % static_cast<uint64_t>(pool));
          draw = mix(draw, 5);
        } while (std::find(choice, choice + k, choice[k]) != choice + k);
      }
      for (int k = 0; k < c.topk && c.pattern != Pattern::kFull; k++) {
        if (mix(seed, token, static_cast<uint64_t>(k), 6) % 8 == 0) {
          choice[k] = -1;
        }
      }
    }
    inputs.push_back(input);
  }
  return inputs;
}

std::vector<uint16_t> make_bias(const Case& c, int rank, int index) {
  std::vector<uint16_t> bias(static_cast<size_t>(c.tokens[static_cast<size_t>(rank)]) *
                             static_cast<size_t>(c.hidden));
  for (size_t i = 0; i < bias.size(); i++) {
    bias[i] =
        random_bf16(mix(c.seed, i, static_cast<uint64_t>(rank), static_cast<uint64_t>(7 + index)));
  }
  return bias;
}

CombineInput make_combine_input(const Case& c, int rank, int rows, uint64_t round) {
  const uint64_t seed = mix(c.seed, round, static_cast<uint64_t>(rank), 9);
  CombineInput input;
  input.y.resize(static_cast<size_t>(rows) * static_cast<size_t>(c.hidden));
  for (size_t i = 0; i < input.y.size(); i++) {
    input.y[i] = random_bf16(mix(seed, i));
  }
  size_t per_row = static_cast<size_t>(c.rank_major() ? c.topk : 1);
  for (size_t i = 0; i < static_cast<size_t>(rows) * per_row; i++) {
    input.weights.push_back(static_cast<float>(mix(seed, i, 1) % 4096) / 1024.0f);
  }
  return input;
}

std::vector<Case> variants_of(const Case& base) {
  std::vector<Case> cases;
  auto add = [&](auto change) {
    cases.push_back(base);
    change(cases.back());
  };
  add([](Case&) {});
  add([](Case& c) { c.biases = 1; });
  add([](Case& c) { c.biases = 2, c.index_bytes = 4; });
  add([](Case& c) { c.weights = false; });
  add([](Case& c) { c.bounded = true; });
  add([](Case& c) { c.alignment = 16; });
  add([](Case& c) { c.hidden += c.hidden % 16, c.dtype = EP4J_FP8_E4M3, c.scale_words = 5; });
  add([](Case& c) {
    c.hidden += c.hidden % 16, c.dtype = EP4J_FP8_E4M3, c.scale_words = 70,
                               c.column_major_scales = true;
  });
  for (Pattern pattern :
       {Pattern::kFull, Pattern::kOneExpert, Pattern::kNowhere, Pattern::kHalfTheRanks}) {
    add([=](Case& c) { c.pattern = pattern; });
  }
  for (int alignment : {1, 4, 128}) {
    add([=](Case& c) { c.order = EP4J_EXPERT_MAJOR, c.alignment = alignment; });
    add([=](Case& c) {
      c.order = EP4J_EXPERT_MAJOR, c.alignment = alignment, c.zero_fill = true, c.biases = 1;
    });
  }
  add([](Case& c) { c.order = EP4J_EXPERT_MAJOR, c.bounded = true, c.alignment = 8; });
  add([](Case& c) { c.order = EP4J_EXPERT_MAJOR, c.weights = false, c.index_bytes = 4; });
  add([](Case& c) { c.order = EP4J_EXPERT_MAJOR, c.pattern = Pattern::kOneExpert; });
  add([](Case& c) {
    c.order = EP4J_EXPERT_MAJOR, c.hidden += c.hidden % 16, c.dtype = EP4J_FP8_E4M3,
    c.scale_words = 3, c.zero_fill = true, c.alignment = 4;
  });
  for (int cast : {EP4J_CAST_PLAIN, EP4J_CAST_ROUNDED, EP4J_CAST_UE8M0}) {
    add([=](Case& c) { c.cast = cast, c.hidden = (c.hidden + 127) / 128 * 128; });
    add([=](Case& c) {
      c.cast = cast, c.hidden = (c.hidden + 127) / 128 * 128, c.order = EP4J_EXPERT_MAJOR;
    });
  }
  return cases;
}

Case awkward(uint64_t seed, int ranks) {
  const int hiddens[] = {8, 24, 136, 520, 1160, 2048, 3592, 7168, 9000};
  Case c;
  c.seed = seed;
  c.ranks = ranks;
  c.topk = 1 + static_cast<int>(mix(seed, 1) % 10);
  c.experts = ranks * (1 + static_cast<int>(mix(seed, 2) % 40));
  c.topk = std::min(c.topk, c.experts);
  c.hidden = hiddens[mix(seed, 3) % 9];
  for (int rank = 0; rank < ranks; rank++) {
    const int counts[] = {0, 1, 13, 64, 150};
    c.tokens.push_back(counts[mix(seed, 4, static_cast<uint64_t>(rank)) % 5]);
  }
  c.order = mix(seed, 5) % 2 == 0 ? EP4J_RANK_MAJOR : EP4J_EXPERT_MAJOR;
  c.alignment = 1 + static_cast<int>(mix(seed, 6) % 40);
  c.zero_fill = mix(seed, 7) % 2 == 0 && !c.rank_major();
  c.bounded = mix(seed, 8) % 4 == 0;
  c.biases = static_cast<int>(mix(seed, 9) % 3);
  c.num_sms = 1 + static_cast<int>(mix(seed, 10) % 9);
  c.index_bytes = mix(seed, 11) % 2 == 0 ? 4 : 8;
  if (mix(seed, 12) % 3 == 0) {
    c.dtype = EP4J_FP8_E4M3;
    c.hidden = (c.hidden + 15) / 16 * 16;
    c.scale_words = 1 + static_cast<int>(mix(seed, 13) % 90);
    c.column_major_scales = mix(seed, 14) % 2 == 0;
  } else if (mix(seed, 12) % 3 == 1 && c.hidden % 128 == 0) {
    c.cast = 1 + static_cast<int>(mix(seed, 15) % 3);
  }
  return c;
}

std::vector<Case> crowded() {
  Case c;
  c.topk = 3;
  c.hidden = 3592;
  c.tokens = {160, 90};
  c.num_sms = 1;
  std::vector<Case> cases = {c};
  c.pattern = Pattern::kFewTokens;
  cases.push_back(c);
  c.order = EP4J_EXPERT_MAJOR;
  cases.push_back(c);
  c.pattern = Pattern::kRandom;
  c.hidden = 4224;
  c.cast = EP4J_CAST_UE8M0;
  cases.push_back(c);
  return cases;
}

}  // namespace ep4j::test
