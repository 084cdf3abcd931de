// The slow, obvious answer to every call: plain loops over whole inputs of all ranks, sharing no
// code with the library.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ep4j.h"

namespace ep4j::test {

// How a routing is drawn.
enum class Pattern {
  kRandom,        // distinct experts, one choice in eight is -1
  kFull,          // distinct experts, no -1
  kOneExpert,     // every token to one expert
  kNowhere,       // all -1
  kHalfTheRanks,  // only experts of the lower half of the ranks
  kFewTokens,     // one token in nine like kRandom, the others all -1
};

// One configuration of calls; sizes are equal on all ranks but for tokens.
struct Case {
  int ranks = 2;
  int experts = 8;
  int topk = 2;
  int hidden = 64;
  std::vector<int> tokens;  // of each rank
  int order = EP4J_RANK_MAJOR;
  int alignment = 1;
  bool zero_fill = false;
  bool bounded = false;
  int64_t capacity_rows = 0;  // 0: as many as can arrive
  int dtype = EP4J_BF16;
  int cast = EP4J_CAST_NONE;
  int scale_words = 0;
  bool column_major_scales = false;
  int index_bytes = 8;
  bool weights = true;
  int biases = 0;
  Pattern pattern = Pattern::kRandom;
  int copy_path = EP4J_COPY_AUTO;
  bool arena = false;  // of four places, see place_bytes()
  int num_sms = 3;
  int ranks_per_node = 0;    // 0: all ranks are one node
  int staging_rows = 0;      // of a rank on their way through another; 0: all
  uint64_t fabric_seed = 0;  // of the network's order
  uint64_t seed = 1;

  int local_experts() const { return experts / ranks; }
  int nodes() const { return ranks_per_node == 0 ? 1 : ranks / ranks_per_node; }
  int node_of(int rank) const { return ranks_per_node == 0 ? 0 : rank / ranks_per_node; }
  bool rank_major() const { return order == EP4J_RANK_MAJOR; }
  int fanout() const { return rank_major() ? ranks : topk; }
  int source_row_bytes() const { return hidden * (dtype == EP4J_BF16 ? 2 : 1); }
  int row_bytes() const { return cast == EP4J_CAST_NONE ? source_row_bytes() : hidden; }
  int wire_scale_words() const;
  int max_tokens() const;
  int64_t rows() const;  // capacity of a region
  std::string describe() const;
};

// What one rank gives to a dispatch.
struct RankInput {
  std::vector<uint8_t> x;           // [T, source_row_bytes]
  std::vector<uint32_t> scales;     // [T, scale_words]
  std::vector<int64_t> topk_idx;    // [T, K]
  std::vector<float> topk_weights;  // [T, K]
};

// What one rank gets from it; row -1 in a source marks padding.
struct Received {
  int num_received = 0;
  std::vector<uint8_t> x;
  std::vector<uint32_t> scales;
  std::vector<int64_t> topk_idx;
  std::vector<float> topk_weights;
  std::vector<int32_t> source_token;
  std::vector<int32_t> rank_prefix;
  std::vector<int32_t> expert_offsets;
  std::vector<float> weight;
  std::vector<int32_t> source_rank;
  std::vector<int32_t> topk_slot;
  std::vector<int32_t> tokens_per_expert;
};

// What goes back and what comes of it.
struct CombineInput {
  std::vector<uint16_t> y;     // [N, hidden] BF16
  std::vector<float> weights;  // [N, K] or [N]
};
struct Combined {
  std::vector<uint16_t> out;   // [T, hidden] BF16
  std::vector<float> weights;  // [T, K]
};

// Pseudo-random data, the same for the same seeds.
uint64_t mix(uint64_t a, uint64_t b = 0, uint64_t c = 0, uint64_t d = 0);
uint16_t random_bf16(uint64_t bits);  // finite, between 2^-4 and 2^4 in magnitude
float float_of_bf16(uint16_t bf16);
uint16_t bf16_of_float(float value);

std::vector<RankInput> make_inputs(const Case& c, uint64_t round);
std::vector<uint16_t> make_bias(const Case& c, int rank, int index);
CombineInput make_combine_input(const Case& c, int rank, int rows, uint64_t round);

Received expected_dispatch(const Case& c, const std::vector<RankInput>& inputs, int rank);

// y of every rank, in the order of its received rows.
Combined expected_combine(const Case& c, const std::vector<RankInput>& inputs,
                          const std::vector<CombineInput>& outputs, int rank, bool weighted);

// Tokens of a rank that go to a node, each once.
int64_t tokens_to_node(const Case& c, const RankInput& input, int node);

// Throws a CheckFailed that names the first difference.
void expect_same(const Case& c, const Received& got, const Received& want, bool metadata);
void expect_same(const Case& c, const Combined& got, const Combined& want, bool weights);

}  // namespace ep4j::test
