#include "low_latency.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace ep4j::test {
namespace {

constexpr size_t kGroup = 128;
constexpr uint16_t kNan = 0x7FC1;  // what no test may read

size_t size(int value) { return static_cast<size_t>(value); }

// Values that LogFMT-10 casts: below 1, of many magnitudes, some zero. Every fifth row has one of
// more than 1 in each kilobyte and so stays raw.
uint16_t log_fmt_value(uint64_t bits, size_t row, size_t column) {
  if (row % 5 == 4 && column % 500 == 17) {
    return bf16_of_float(1.5f);
  }
  if (bits % 61 == 0) {
    return 0;
  }
  const uint16_t exponent = static_cast<uint16_t>(127 - 1 - (bits >> 8) % 12);
  return static_cast<uint16_t>((bits & 0x80) << 8 | exponent << 7 | (bits >> 20 & 0x7F));
}

// A row after encoding and decoding, and the step of each value's group; semantics.md, section 6.3.
void log_fmt_row(const uint16_t* row, size_t hidden, double* values, double* steps) {
  const size_t chunk = hidden % 1024 == 0 ? 1024 : 512;
  for (size_t first = 0; first < hidden; first += chunk) {
    bool cast = true;
    for (size_t group = first; group < first + chunk; group += kGroup) {
      float amax = 0;
      float amin = INFINITY;
      for (size_t i = group; i < group + kGroup; i++) {
        amax = std::max(amax, std::fabs(float_of_bf16(row[i])));
        amin = std::min(amin, std::fabs(float_of_bf16(row[i])));
      }
      cast = cast && amax < 1 && amin < amax;
    }
    for (size_t group = first; group < first + chunk; group += kGroup) {
      double amax = 0;
      double amin = INFINITY;
      for (size_t i = group; i < group + kGroup; i++) {
        amax = std::max(amax, std::fabs(double{float_of_bf16(row[i])}));
        amin = std::min(amin, std::fabs(double{float_of_bf16(row[i])}));
      }
      const double log_max = std::log2(amax);
      const double log_min = std::max(std::log2(amin), log_max - 32);
      const double step = (log_max - log_min) / 510;
      for (size_t i = group; i < group + kGroup; i++) {
        const double value = float_of_bf16(row[i]);
        steps[i] = cast ? step : 0;
        values[i] = value;
        if (cast) {
          const double code = std::floor(
              std::max(0.0, std::log2(std::fabs(value)) / step + 2 -
                                std::log2((1 + std::exp2(step)) / 2) / step - log_min / step));
          const double magnitude = code == 0 ? 0 : std::exp2((code - 1) * step + log_min);
          values[i] = static_cast<float>(value < 0 ? -magnitude : magnitude);
        }
      }
    }
  }
}

double bf16_step(float value) {
  int exponent;
  std::frexp(value, &exponent);
  return value == 0 ? 0 : std::ldexp(1.0, exponent - 8);
}

// Where the row of each choice of a rank lies at its expert's rank; -1 for none.
std::vector<int64_t> rows_of_choices(const Case& c, const LowLatencyPlan& plan, int rank) {
  const RankInput& own = plan.inputs[size(rank)];
  std::vector<int64_t> rows(own.topk_idx.size(), -1);
  for (int peer = 0; peer < c.ranks; peer++) {
    const Received& there = plan.received[size(peer)];
    for (size_t row = 0; row < there.source_rank.size(); row++) {
      if (there.source_rank[row] == rank) {
        rows[size(there.source_token[row] * c.topk + there.topk_slot[row])] =
            static_cast<int64_t>(row);
      }
    }
  }
  return rows;
}

LowLatencyCombined expected_log_fmt(const Case& c, const LowLatencyPlan& plan, int rank) {
  const size_t hidden = size(c.hidden);
  const RankInput& own = plan.inputs[size(rank)];
  const std::vector<int64_t> rows = rows_of_choices(c, plan, rank);
  LowLatencyCombined combined;
  std::vector<double> values(hidden);
  std::vector<double> steps(hidden);
  for (int token = 0; token < c.tokens[size(rank)]; token++) {
    std::vector<float> sums(hidden, 0.0f);
    std::vector<double> limits(hidden, 0.0);
    for (size_t k = 0; k < size(c.topk); k++) {
      const size_t choice = size(token) * size(c.topk) + k;
      if (rows[choice] < 0) {
        continue;
      }
      const size_t peer = static_cast<size_t>(own.topk_idx[choice]) / size(c.local_experts());
      log_fmt_row(&plan.y[peer].y[static_cast<size_t>(rows[choice]) * hidden], hidden,
                  values.data(), steps.data());
      const float weight = own.topk_weights[choice];
      for (size_t h = 0; h < hidden; h++) {
        sums[h] = std::fma(weight, static_cast<float>(values[h]), sums[h]);
        limits[h] += std::fabs(double{weight} * values[h]) * (std::exp2(steps[h]) - 1);
      }
    }
    for (size_t h = 0; h < hidden; h++) {
      combined.out.push_back(bf16_of_float(sums[h]));
      combined.limits.push_back(static_cast<float>(limits[h] + bf16_step(sums[h])));
    }
  }
  return combined;
}

}  // namespace

Case low_latency_case(int ranks, int experts, int topk, int hidden,
                      const std::vector<int>& tokens) {
  Case c;
  c.ranks = ranks;
  c.experts = experts;
  c.topk = topk;
  c.hidden = hidden;
  c.tokens = tokens;
  c.order = EP4J_EXPERT_MAJOR;
  c.bounded = true;
  c.num_sms = 0;
  return c;
}

ep4j_low_latency_config low_latency_config(const Case& c, int inboxes, int regions, int outputs) {
  ep4j_low_latency_config config = {};
  config.struct_size = sizeof config;
  config.max_tokens = c.max_tokens() + 3;
  config.hidden = c.hidden;
  config.num_inboxes = inboxes;
  config.num_regions = regions;
  config.num_outputs = outputs;
  return config;
}

World low_latency_world(const Case& c, const ep4j_low_latency_config& config,
                        bool mask_on_timeout) {
  return World(c, 2, 2, mask_on_timeout, size_t{512} << 20, &config);
}

std::vector<RankInput> without_rank(const Case& c, std::vector<RankInput> inputs, int rank) {
  for (RankInput& input : inputs) {
    for (int64_t& expert : input.topk_idx) {
      expert = expert / c.local_experts() == rank ? -1 : expert;
    }
  }
  inputs[size(rank)].topk_idx.assign(inputs[size(rank)].topk_idx.size(), -1);
  return inputs;
}

LowLatencyPlan low_latency_plan(const Case& c, uint64_t round, bool with_log_fmt) {
  return low_latency_plan(c, make_inputs(c, round), round, with_log_fmt);
}

LowLatencyPlan low_latency_plan(const Case& c, const std::vector<RankInput>& inputs,
                                uint64_t round, bool with_log_fmt) {
  LowLatencyPlan plan;
  plan.inputs = inputs;
  for (int rank = 0; rank < c.ranks; rank++) {
    plan.received.push_back(expected_dispatch(c, inputs, rank));
    const size_t rows = size(plan.received.back().num_received);
    plan.y.push_back(make_combine_input(c, rank, static_cast<int>(rows), round));
    for (size_t i = 0; c.hidden % 512 == 0 && i < rows * size(c.hidden); i++) {
      plan.y.back().y[i] = log_fmt_value(mix(c.seed, round, i, size(rank)), i / size(c.hidden),
                                         i % size(c.hidden));
    }
  }
  for (int rank = 0; rank < c.ranks; rank++) {
    plan.raw.push_back({expected_combine(c, inputs, plan.y, rank, true).out, {}});
    plan.log_fmt.push_back(with_log_fmt ? expected_log_fmt(c, plan, rank) : LowLatencyCombined{});
  }
  return plan;
}

LowLatencyRank::LowLatencyRank(RankEnd& rank_end, const Case& c,
                               const ep4j_low_latency_config& config)
    : end(rank_end),
      c_(c),
      config_(config),
      rows_per_expert_(size(c.ranks) * size(config.max_tokens)) {}

LowLatencyRank::Tensors LowLatencyRank::upload(const LowLatencyPlan& plan) {
  const size_t hidden = size(c_.hidden);
  const Received& received = plan.received[size(end.rank)];
  std::vector<uint16_t> y(size(c_.local_experts()) * rows_per_expert_ * hidden, kNan);
  for (size_t expert = 0; expert < size(c_.local_experts()); expert++) {
    const size_t begin = size(received.expert_offsets[expert]);
    const size_t end_row = size(received.expert_offsets[expert + 1]);
    std::copy_n(plan.y[size(end.rank)].y.begin() + static_cast<int64_t>(begin * hidden),
                (end_row - begin) * hidden,
                y.begin() + static_cast<int64_t>(expert * rows_per_expert_ * hidden));
  }
  Tensors tensors = {};
  tensors.num_tokens = c_.tokens[size(end.rank)];
  tensors.input = upload_input(end, c_, plan.inputs[size(end.rank)]);
  tensors.y = end.upload(y);
  tensors.out = end.upload(std::vector<uint16_t>(size(tensors.num_tokens) * hidden + 1, kNan));
  return tensors;
}

int LowLatencyRank::num_sms() const {
  return c_.num_sms == 0 ? 0 : c_.num_sms + end.rank % 2;  // may differ by rank
}

ep4j_low_latency_dispatch_call LowLatencyRank::dispatch_call(const Tensors& tensors, int region,
                                                             int output, bool hook) const {
  ep4j_low_latency_dispatch_call call = {};
  call.struct_size = sizeof call;
  call.x = tensors.input.x;
  call.topk_idx = tensors.input.topk_idx;
  call.num_tokens = tensors.num_tokens;
  call.num_topk = c_.topk;
  call.index_bytes = c_.index_bytes;
  call.cast = c_.cast;
  call.region = region;
  call.output = output;
  call.num_sms = num_sms();
  call.hook = hook;
  call.timeout_nanos = kTimeoutNanos;
  return call;
}

ep4j_low_latency_result LowLatencyRank::dispatch(const ep4j_low_latency_dispatch_call& call) {
  ep4j_low_latency_result result = {};
  result.struct_size = sizeof result;
  ok(ep4j_low_latency_dispatch(end.buffer, &call, &result, end.stream), "low-latency dispatch");
  return result;
}

void LowLatencyRank::receive_dispatch(int region) {
  ok(ep4j_low_latency_dispatch_receive(end.buffer, region, num_sms(), kTimeoutNanos, end.stream),
     "low-latency dispatch receive");
}

ep4j_low_latency_combine_call LowLatencyRank::combine_call(const Tensors& tensors, int region,
                                                           int output, Outputs outputs,
                                                           bool hook) const {
  ep4j_low_latency_combine_call call = {};
  call.struct_size = sizeof call;
  call.y = tensors.y;
  call.topk_weights = tensors.input.topk_weights;
  call.out = tensors.out;
  call.region = region;
  call.output = output;
  call.log_fmt = is_log_fmt(outputs);
  call.num_sms = num_sms();
  call.hook = hook;
  call.timeout_nanos = kTimeoutNanos;
  return call;
}

void LowLatencyRank::combine(ep4j_low_latency_combine_call call, const Tensors& tensors,
                             Outputs outputs) {
  if (is_in_place(outputs)) {
    void* y = nullptr;
    ok(ep4j_low_latency_combine_input(end.buffer, call.output, kTimeoutNanos, &y, end.stream),
       "low-latency combine input");
    const size_t bytes = size(c_.local_experts()) * rows_per_expert_ * size(c_.hidden) * 2;
    end.sync();
    ok(cudaMemcpyAsync(y, tensors.y, bytes, cudaMemcpyDeviceToDevice, end.stream), "writing y");
    end.sync();
    call.y = y;
  }
  ok(ep4j_low_latency_combine(end.buffer, &call, end.stream), "low-latency combine");
}

void LowLatencyRank::receive_combine(int output) {
  ok(ep4j_low_latency_combine_receive(end.buffer, output, num_sms(), kTimeoutNanos, end.stream),
     "low-latency combine receive");
}

void LowLatencyRank::release(int region) {
  ok(ep4j_low_latency_release(end.buffer, region, end.stream), "releasing");
}

void LowLatencyRank::check(const ep4j_low_latency_result& result, const Received& want) {
  const size_t experts = size(c_.local_experts());
  const size_t ranks = size(c_.ranks);
  std::vector<int32_t> count = end.download<int32_t>(result.count, experts);
  std::vector<int64_t> ranges = end.download<int64_t>(result.layout_range, experts * ranks);
  for (size_t expert = 0; expert < experts; expert++) {
    const int begin = want.expert_offsets[expert];
    const int rows = want.expert_offsets[expert + 1] - begin;
    expect(count[expert] == rows, c_.describe(), ": rank ", end.rank, ", expert ", expert, " has ",
           count[expert], " rows, not ", rows);
    int64_t first = 0;
    for (size_t source = 0; source < ranks; source++) {
      int64_t of_source = std::count(want.source_rank.begin() + begin,
                                     want.source_rank.begin() + begin + rows,
                                     static_cast<int32_t>(source));
      expect(ranges[expert * ranks + source] == (first << 32 | of_source), c_.describe(), ": rank ",
             end.rank, ", expert ", expert, ", source ", source, ": range ",
             ranges[expert * ranks + source], ", not ", first, " << 32 | ", of_source);
      first += of_source;
    }
  }
  check_rows(result, want);
}

void LowLatencyRank::check_rows(const ep4j_low_latency_result& result, const Received& want) {
  const size_t experts = size(c_.local_experts());
  const size_t row_bytes = size(c_.row_bytes());
  const size_t words = size(c_.wire_scale_words());
  const size_t rows = experts * rows_per_expert_;
  std::vector<uint8_t> x = end.download<uint8_t>(result.x, rows * row_bytes);
  std::vector<int32_t> sources = end.download<int32_t>(result.source_info, rows);
  expect((result.scales != nullptr) == (words > 0), "scales are given with a cast");
  std::vector<uint32_t> scales;
  if (words > 0) {
    scales = end.download<uint32_t>(result.scales, rows * words);
  }
  for (size_t expert = 0; expert < experts; expert++) {
    for (size_t row = size(want.expert_offsets[expert]);
         row < size(want.expert_offsets[expert + 1]); row++) {
      const size_t packed = row - size(want.expert_offsets[expert]);
      const size_t place = expert * rows_per_expert_ + packed;
      const auto at = [&](const char* what) {
        return join(c_.describe(), ": rank ", end.rank, ", expert ", expert, ", row ", packed,
                    " of source ", want.source_rank[row], ": ", what);
      };
      expect(sources[place] == want.source_token[row], at("token "), sources[place], ", not ",
             want.source_token[row]);
      expect(std::memcmp(&x[place * row_bytes], &want.x[row * row_bytes], row_bytes) == 0,
             at("x differs"));
      for (size_t word = 0; word < words; word++) {
        const uint32_t got = scales[(expert * words + word) * rows_per_expert_ + packed];
        expect(got == want.scales[row * words + word], at("scale word "), word, " is ", got,
               ", not ", want.scales[row * words + word]);
      }
    }
  }
}

void LowLatencyRank::check(const Tensors& tensors, const LowLatencyPlan& plan, Outputs outputs) {
  const LowLatencyCombined& want =
      is_log_fmt(outputs) ? plan.log_fmt[size(end.rank)] : plan.raw[size(end.rank)];
  const size_t hidden = size(c_.hidden);
  std::vector<uint16_t> got = end.download<uint16_t>(tensors.out, want.out.size() + 1);
  expect(got.back() == kNan, "nothing is written past the last token");
  size_t different = 0;
  for (size_t i = 0; i < want.out.size(); i++) {
    if (got[i] == want.out[i]) {
      continue;
    }
    different++;
    const float error = std::fabs(float_of_bf16(got[i]) - float_of_bf16(want.out[i]));
    expect(!want.limits.empty() && error <= want.limits[i], c_.describe(), ": rank ", end.rank,
           ", combined[", i / hidden, ", ", i % hidden, "] is ", float_of_bf16(got[i]), ", not ",
           float_of_bf16(want.out[i]));
  }
  expect(different * 1000 < want.out.size() + 1000, c_.describe(), ": ", different, " of ",
         want.out.size(), " LogFMT-10 sums differ");
}

}  // namespace ep4j::test
