// Ranks with a routing, ready to dispatch and combine: inputs of the benchmark, its calls, and the
// check of their results.
#pragma once

#include "bench_report.hpp"

namespace ep4j::test {

enum class BenchRows { kBf16, kFp8, kCast };
const char* name_of(BenchRows rows);

// 4,096 tokens per rank, top-8 of 256 experts, H 7168.
Case bench_case(int ranks, int sms, BenchRows rows, int order);

class Group {
 public:
  explicit Group(const Case& c);

  void counted(int rank, uint64_t ticket);
  void cached(int rank);
  void release(int rank);

  // All ranks: counts and rows of a counted dispatch, rows checked word for word.
  void verify();

  void hand_out(int rank);
  void fill(int rank);
  void combine(int rank, const uint16_t* y, int output);

  // Its halves.
  void send_combine(int rank, const uint16_t* y, int output, bool receive_follows);
  void receive_combine(int rank, int output);

  // Every element of a token is the sum, over its rows, of the ranks' factors.
  void verify_combined();

  uint16_t* handed_out(int rank) const { return y_[static_cast<size_t>(rank)]; }
  uint16_t* received_x(int rank) const {
    return static_cast<uint16_t*>(results_[static_cast<size_t>(rank)].x);
  }
  double received_bytes() const {
    return static_cast<double>(rows_[0]) * (c_.row_bytes() + 4 * c_.wire_scale_words());
  }
  double combined_bytes() const { return static_cast<double>(rows_[0]) * 2 * kBenchHidden; }
  const std::vector<cudaStream_t>& streams() const { return streams_; }
  uint64_t next_ticket() { return ++ticket_; }
  RankEnd& end(int rank) { return world_.end(rank); }
  const DeviceInput& input(int rank) const { return inputs_[static_cast<size_t>(rank)]; }
  const Case& shape() const { return c_; }

 private:
  uint32_t given_word(int rank, int token, int word) const;
  uint32_t received_word(int rank, int token, int word) const;
  void draw(int rank, int token, int64_t* choice) const;
  void issue(RankEnd& end, ep4j_dispatch_call call);
  void verify_rows(RankEnd& end, int rows);
  float factor_sum(int rank, int token) const;

  const Case c_;
  World world_;
  std::vector<cudaStream_t> streams_;
  std::vector<std::vector<int64_t>> routing_;
  std::vector<DeviceInput> inputs_;
  std::vector<ep4j_dispatch_result> results_;
  std::vector<int32_t> rows_;
  std::vector<uint16_t*> y_;
  std::vector<uint16_t*> out_;
  uint64_t ticket_ = 0;
};

}  // namespace ep4j::test
