// Low-latency calls of one rank, and the slow answers to them.
#pragma once

#include "world.hpp"

namespace ep4j::test {

// A case as low-latency mode sees it: rows by local expert, source rank and source token.
Case low_latency_case(int ranks, int experts, int topk, int hidden, const std::vector<int>& tokens);

// The mode's configuration for a case; M is a little more than any rank's tokens.
ep4j_low_latency_config low_latency_config(const Case& c, int inboxes = 2, int regions = 2,
                                           int outputs = 2);

// A group of ranks with the mode.
World low_latency_world(const Case& c, const ep4j_low_latency_config& config,
                        bool mask_on_timeout = false);

// How expert outputs travel in one combine.
enum class Outputs { kStaged, kInPlace, kLogFmtStaged, kLogFmtInPlace };
inline bool is_log_fmt(Outputs outputs) {
  return outputs == Outputs::kLogFmtStaged || outputs == Outputs::kLogFmtInPlace;
}
inline bool is_in_place(Outputs outputs) {
  return outputs == Outputs::kInPlace || outputs == Outputs::kLogFmtInPlace;
}

// What a combine must give: exactly, or with LogFMT-10 within limits.
struct LowLatencyCombined {
  std::vector<uint16_t> out;
  std::vector<float> limits;  // of the error; empty where it must be none
};

// What all ranks give and get in one round.
struct LowLatencyPlan {
  std::vector<RankInput> inputs;        // [rank]
  std::vector<Received> received;       // [rank]
  std::vector<CombineInput> y;          // [rank]
  std::vector<LowLatencyCombined> raw;  // [rank]
  std::vector<LowLatencyCombined> log_fmt;  // [rank], if asked for: it is slow
};
LowLatencyPlan low_latency_plan(const Case& c, uint64_t round, bool with_log_fmt = false);

// The same for inputs that are given, as where a rank is left out.
LowLatencyPlan low_latency_plan(const Case& c, const std::vector<RankInput>& inputs,
                                uint64_t round, bool with_log_fmt = false);

// One rank's calls. Uploads come first, on an idle stream.
class LowLatencyRank {
 public:
  LowLatencyRank(RankEnd& end, const Case& c, const ep4j_low_latency_config& config);

  // Tensors of a round on the device.
  struct Tensors {
    DeviceInput input;
    uint16_t* y;    // [local experts, R, hidden], NaN where no row is
    uint16_t* out;  // [T, hidden]
    int num_tokens;
  };
  Tensors upload(const LowLatencyPlan& plan);

  // A call with this rank's SMs and a long deadline.
  ep4j_low_latency_dispatch_call dispatch_call(const Tensors& tensors, int region, int output,
                                               bool hook) const;
  ep4j_low_latency_result dispatch(const ep4j_low_latency_dispatch_call& call);
  void receive_dispatch(int region);
  ep4j_low_latency_combine_call combine_call(const Tensors& tensors, int region, int output,
                                             Outputs outputs, bool hook) const;
  // Brings y to the output first where it must lie there.
  void combine(ep4j_low_latency_combine_call call, const Tensors& tensors, Outputs outputs);
  void receive_combine(int output);
  void release(int region);

  // Throws a CheckFailed that names the first difference.
  void check(const ep4j_low_latency_result& result, const Received& want);
  void check(const Tensors& tensors, const LowLatencyPlan& plan, Outputs outputs);

  RankEnd& end;

 private:
  void check_rows(const ep4j_low_latency_result& result, const Received& want);
  int num_sms() const;

  const Case& c_;
  const ep4j_low_latency_config config_;
  const size_t rows_per_expert_;
};

// Inputs as they are seen where a rank does not take part.
std::vector<RankInput> without_rank(const Case& c, std::vector<RankInput> inputs, int rank);

}  // namespace ep4j::test
