#include "bench_group.hpp"

#include <algorithm>
#include <cstring>

#include "bench_kernels.hpp"

namespace ep4j::test {
namespace {

constexpr int kBenchGroup = 128;  // channels that have one scale

// Word w of a token's row: says whose it is and where.
uint32_t word_of(int rank, int token, int word) {
  return static_cast<uint32_t>(rank) << 27 ^ static_cast<uint32_t>(token) << 14 ^
         static_cast<uint32_t>(word);
}

// The same of a row that was cast: codes of exponent 0, but that a group begins with the largest
// code there is, so that its scale is 1.
uint32_t cast_word_of(int rank, int token, int word) {
  const uint32_t codes = (word_of(rank, token, word) & 0x87878787) | 0x38383838;
  return word % (kBenchGroup / 4) == 0 ? (codes & ~0xFFu) | 0x7E : codes;
}

// BF16 of a code that is not subnormal.
uint32_t bf16_of_code(uint32_t code) {
  constexpr uint32_t kBiases = 127 - 7;
  return (code & 0x80) << 8 | ((code >> 3 & 0xF) + kBiases) << 7 | (code & 7) << 4;
}

}  // namespace

const char* name_of(BenchRows rows) {
  return rows == BenchRows::kBf16 ? "BF16" : (rows == BenchRows::kFp8 ? "FP8" : "BF16 cast to FP8");
}

Case bench_case(int ranks, int sms, BenchRows rows, int order) {
  Case c;
  c.ranks = ranks;
  c.experts = 256;
  c.topk = 8;
  c.hidden = kBenchHidden;
  c.tokens.assign(static_cast<size_t>(ranks), kBenchTokens);
  c.order = order;
  c.dtype = rows == BenchRows::kFp8 ? EP4J_FP8_E4M3 : EP4J_BF16;
  c.scale_words = rows == BenchRows::kFp8 ? kBenchHidden / kBenchGroup : 0;
  c.cast = rows == BenchRows::kCast ? EP4J_CAST_PLAIN : EP4J_CAST_NONE;
  c.pattern = Pattern::kFull;
  c.num_sms = sms;
  return c;
}

Group::Group(const Case& c) : c_(c), world_(c, 2, 2, false, size_t{256} << 20) {
  std::vector<int64_t> drawn(static_cast<size_t>(kBenchTokens * c.topk));
  for (int rank = 0; rank < c.ranks; rank++) {
    RankEnd& end = world_.end(rank);
    streams_.push_back(end.stream);
    RankInput input;
    const int words = c.source_row_bytes() / 4;
    std::vector<uint32_t> x(static_cast<size_t>(kBenchTokens) * static_cast<size_t>(words));
    for (size_t i = 0; i < x.size(); i++) {
      x[i] = given_word(rank, static_cast<int>(i) / words, static_cast<int>(i) % words);
    }
    input.x.resize(4 * x.size());
    std::memcpy(input.x.data(), x.data(), input.x.size());
    input.scales.assign(static_cast<size_t>(kBenchTokens * c.scale_words), 0x3F800000);
    for (int token = 0; token < kBenchTokens; token++) {
      draw(rank, token, &drawn[static_cast<size_t>(token * c.topk)]);
    }
    input.topk_idx = drawn;
    input.topk_weights.assign(drawn.size(), 1.0f);
    routing_.push_back(drawn);
    inputs_.push_back(upload_input(end, c, input));
    out_.push_back(reinterpret_cast<uint16_t*>(end.scratch.take(size_t{2} * kBenchTokens * kBenchHidden)));
  }
  results_.resize(static_cast<size_t>(c.ranks));
  rows_.resize(static_cast<size_t>(c.ranks));
  y_.resize(static_cast<size_t>(c.ranks));
}

uint32_t Group::given_word(int rank, int token, int word) const {
  if (c_.cast == EP4J_CAST_NONE) {
    return word_of(rank, token, word);
  }
  const uint32_t codes = cast_word_of(rank, token, word / 2) >> 16 * (word % 2);
  return bf16_of_code(codes & 0xFF) | bf16_of_code(codes >> 8 & 0xFF) << 16;
}

uint32_t Group::received_word(int rank, int token, int word) const {
  return c_.cast == EP4J_CAST_NONE ? word_of(rank, token, word) : cast_word_of(rank, token, word);
}

void Group::counted(int rank, uint64_t ticket) {
  RankEnd& end = world_.end(rank);
  ep4j_dispatch_call call = dispatch_call(c_, rank, input(rank), 0, 0, ticket);
  issue(end, call);
}

void Group::cached(int rank) { issue(world_.end(rank), cached_call(c_, rank, input(rank), 0, 0)); }

void Group::release(int rank) {
  ok(ep4j_region_release(world_.end(rank).buffer, 0, streams_[static_cast<size_t>(rank)]),
     "releasing");
}

void Group::verify() {
  for (int rank = 0; rank < c_.ranks; rank++) {
    counted(rank, ++ticket_);
  }
  for (int rank = 0; rank < c_.ranks; rank++) {
    RankEnd& end = world_.end(rank);
    std::vector<int32_t> per_expert;
    ep4j_counts counts =
        await_counts(end, c_, ticket_ - static_cast<uint64_t>(c_.ranks - 1 - rank), per_expert);
    rows_[static_cast<size_t>(rank)] = counts.num_received;
    verify_rows(end, counts.num_received);
    release(rank);
  }
}

void Group::hand_out(int rank) {
  const size_t r = static_cast<size_t>(rank);
  void* y = nullptr;
  ok(ep4j_combine_input(world_.end(rank).buffer, 0, rows_[r], kBenchHidden, kTimeoutNanos, &y,
                        streams_[r]),
     "combine input");
  y_[r] = static_cast<uint16_t*>(y);
}

void Group::fill(int rank) {
  const size_t r = static_cast<size_t>(rank);
  ok(launch_fill(y_[r], int64_t{rows_[r]} * kBenchHidden, bf16_of_float(static_cast<float>(rank + 1)),
                 streams_[r]),
     "filling y");
}

void Group::combine(int rank, const uint16_t* y, int output) {
  send_combine(rank, y, output, true);
  receive_combine(rank, output);
}

void Group::send_combine(int rank, const uint16_t* y, int output, bool receive_follows) {
  const size_t r = static_cast<size_t>(rank);
  RankEnd& end = world_.end(rank);
  ep4j_combine_call call = {};
  call.struct_size = sizeof call;
  call.y = y;
  call.output = output;
  call.rows = rows_[r];
  call.hidden = kBenchHidden;
  call.timeout_nanos = kTimeoutNanos;
  call.receive_follows = receive_follows;
  ok(ep4j_combine(end.buffer, &call, end.stream), "combine");
}

void Group::receive_combine(int rank, int output) {
  RankEnd& end = world_.end(rank);
  ep4j_combine_receive_call receive = {};
  receive.struct_size = sizeof receive;
  receive.out = out_[static_cast<size_t>(rank)];
  receive.output = output;
  receive.hidden = kBenchHidden;
  receive.num_sms = c_.num_sms;
  receive.timeout_nanos = kTimeoutNanos;
  ok(ep4j_combine_receive(end.buffer, &receive, end.stream), "combine receive");
}

void Group::verify_combined() {
  for (int rank = 0; rank < c_.ranks; rank++) {
    const size_t r = static_cast<size_t>(rank);
    RankEnd& end = world_.end(rank);
    std::vector<uint16_t> out = end.download<uint16_t>(out_[r], size_t{kBenchTokens} * kBenchHidden);
    for (int token = 0; token < kBenchTokens; token++) {
      uint16_t want = bf16_of_float(factor_sum(rank, token));
      for (int h = 0; h < kBenchHidden; h++) {
        expect(out[static_cast<size_t>(token) * kBenchHidden + static_cast<size_t>(h)] == want,
               "combined[", token, ", ", h, "] of rank ", rank);
      }
    }
    end.expect_no_fault();
  }
}

void Group::draw(int rank, int token, int64_t* choice) const {
  for (int k = 0; k < c_.topk; k++) {
    uint64_t bits =
        mix(static_cast<uint64_t>(rank), static_cast<uint64_t>(token), static_cast<uint64_t>(k));
    do {
      choice[k] = static_cast<int64_t>(bits % static_cast<uint64_t>(c_.experts));
      bits = mix(bits);
    } while (std::find(choice, choice + k, choice[k]) != choice + k);
  }
}

void Group::issue(RankEnd& end, ep4j_dispatch_call call) {
  call.num_sms = c_.num_sms;
  ep4j_dispatch_result& result = results_[static_cast<size_t>(end.rank)];
  result.struct_size = sizeof result;
  ok(ep4j_dispatch(end.buffer, &call, &result, end.stream), "dispatch");
  ok(ep4j_dispatch_receive(end.buffer, 0, kTimeoutNanos, end.stream), "receive");
}

void Group::verify_rows(RankEnd& end, int rows) {
  const ep4j_dispatch_result& result = results_[static_cast<size_t>(end.rank)];
  const size_t count = static_cast<size_t>(rows);
  const size_t words = static_cast<size_t>(c_.row_bytes()) / 4;
  std::vector<uint32_t> x = end.download<uint32_t>(result.x, count * words);
  std::vector<int32_t> tokens = end.download<int32_t>(result.source_token, count);
  std::vector<int32_t> sources;
  if (c_.rank_major()) {
    std::vector<int32_t> prefix =
        end.download<int32_t>(result.rank_prefix, static_cast<size_t>(c_.ranks));
    for (int32_t row = 0, source = 0; row < rows; row++) {
      while (row >= prefix[static_cast<size_t>(source)]) {
        source++;
      }
      sources.push_back(source);
    }
  } else {
    sources = end.download<int32_t>(result.source_rank, count);
  }
  for (size_t row = 0; row < count; row++) {
    for (size_t word = 0; word < words; word++) {
      expect(x[row * words + word] ==
                 received_word(sources[row], tokens[row], static_cast<int>(word)),
             "row ", row, ", word ", word, " of rank ", end.rank);
    }
  }
}

float Group::factor_sum(int rank, int token) const {
  const int64_t* choice =
      &routing_[static_cast<size_t>(rank)][static_cast<size_t>(token * c_.topk)];
  float sum = 0;
  for (int peer = 0; peer < c_.ranks; peer++) {
    int64_t hits = std::count_if(choice, choice + c_.topk, [&](int64_t expert) {
      return expert / c_.local_experts() == peer;
    });
    sum += static_cast<float>(c_.rank_major() ? std::min<int64_t>(hits, 1) : hits) *
           static_cast<float>(peer + 1);
  }
  return sum;
}

}  // namespace ep4j::test
