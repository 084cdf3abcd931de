// Sums a token's rows: fma(weight, row, sum) in float32, from +0, in the order of the choices,
// rounded once. A block sums one part of one token at a time, every thread a few channels of all
// rows, so that a whole token's loads are in flight at once.
#pragma once

#include "device/ptx/convert.cuh"
#include "kernels/low_latency/combine_storage.cuh"

namespace ep4j {

// What this lane knows of a token's choice, loaded ahead of its use.
struct Choice {
  int32_t expert;  // -1 for none
  int32_t ordinal;
  float weight;
};

// Warp 0.
__device__ inline Choice load_choice(const LowLatencyCombineParams& params,
                                     const CombineStorage& shared, int token) {
  const LowLatencyView& view = params.view;
  const int64_t place = int64_t{token} * params.num_topk + lane_index();
  if (lane_index() >= params.num_topk || token >= params.num_tokens ||
      shared.verdict != EP4J_SENT) {
    return {-1, 0, 0.0f};
  }
  return {view.experts[place], view.ordinals[place], params.weights[place]};
}

// Which rows a token has. Warp 0.
__device__ inline void find_rows(const LowLatencyCombineParams& params,
                                 const CombineStorage& shared, const Choice& choice,
                                 TokenTable& table) {
  const LowLatencyView& view = params.view;
  const LowLatencyLayout& layout = view.layout;
  const int lane = lane_index();
  const int peer = choice.expert / layout.local_experts;
  const int local = choice.expert % layout.local_experts;
  const bool there = choice.expert >= 0 && (shared.arrived >> peer & 1) != 0;
  const uint32_t rows = __ballot_sync(kAllLanes, there);
  if (there) {
    const int output = shared.outputs[peer];
    const int32_t* begins = view.own<int32_t>(layout.ready(output, peer) + kReadyBegins);
    int64_t row = local * layout.rows_per_expert() + begins[local] + choice.ordinal;
    const char* base = view.at<char>(peer, layout.output(output));
    if (!transport::reaches(view.rank, peer)) {
      row = layout.return_row(choice.expert, choice.ordinal);
      base = view.own<char>(layout.returns(output));
    }
    const int k = __popc(rows & ((1u << lane) - 1));
    table.rows[k] = base + row * params.row_bytes;
    table.ranges[k] =
        reinterpret_cast<const uint32_t*>(base + layout.ranges() + row * layout.range_bytes());
    table.weights[k] = choice.weight;
  }
  if (lane == 0) {
    table.count = __popc(rows);
  }
}

__device__ __forceinline__ void add_pair(uint32_t word, float weight, float* sums) {
  sums[0] = __fmaf_rn(weight, bf16_to_float(word & 0xFFFF), sums[0]);
  sums[1] = __fmaf_rn(weight, float_of_bits(word & 0xFFFF0000), sums[1]);
}

__device__ __forceinline__ void add_vector(const uint4& vector, float weight, float* sums) {
  add_pair(vector.x, weight, sums);
  add_pair(vector.y, weight, sums + 2);
  add_pair(vector.z, weight, sums + 4);
  add_pair(vector.w, weight, sums + 6);
}

__device__ __forceinline__ uint4 rounded(const float* sums) {
  return {ptx::bf16_pair(sums[0], sums[1]), ptx::bf16_pair(sums[2], sums[3]),
          ptx::bf16_pair(sums[4], sums[5]), ptx::bf16_pair(sums[6], sums[7])};
}

// Rows in BF16: a unit is a vector of 8 channels.
struct PlainUnits {
  static constexpr int kChannels = 8;
  static constexpr int kRows = 8;  // loaded at once

  __device__ static void sum(const TokenTable& table, int unit, char* out, int, const double*) {
    float sums[kChannels] = {};
    for (int first = 0; first < table.count; first += kRows) {
      uint4 vectors[kRows];
#pragma unroll
      for (int k = 0; k < kRows; k++) {
        if (first + k < table.count) {
          vectors[k] = __ldcg(reinterpret_cast<const uint4*>(table.rows[first + k]) + unit);
        }
      }
#pragma unroll
      for (int k = 0; k < kRows; k++) {
        if (first + k < table.count) {
          add_vector(vectors[k], table.weights[first + k], sums);
        }
      }
    }
    reinterpret_cast<uint4*>(out)[unit] = rounded(sums);
  }
};

// Rows in LogFMT-10: a unit is a block of 16 channels.
struct LogFmtUnits {
  static constexpr int kChannels = kLogFmtBlockChannels;

  __device__ static void sum(const TokenTable& table, int unit, char* out, int chunk_channels,
                             const double* logarithms) {
    const int blocks_per_chunk = chunk_channels / kChannels;
    const int64_t chunk = int64_t{2} * chunk_channels * (unit / blocks_per_chunk);
    const int block = unit % blocks_per_chunk;
    float sums[kChannels] = {};
    for (int k = 0; k < table.count; k++) {
      const uint32_t range = __ldcg(table.ranges[k] + unit / (kLogFmtGroupChannels / kChannels));
      const char* begin = table.rows[k] + chunk;
      if ((range & kRawChunk) != 0) {
        const uint4* vectors = reinterpret_cast<const uint4*>(begin) + 2 * block;
        add_vector(__ldcg(vectors), table.weights[k], sums);
        add_vector(__ldcg(vectors + 1), table.weights[k], sums + 8);
      } else {
        const LogFmtDecoding decoding(range & kBf16MagnitudeMask, range >> 16, logarithms);
        add_block(reinterpret_cast<const uint32_t*>(begin) + block * kLogFmtBlockWords, decoding,
                  table.weights[k], sums);
      }
    }
    reinterpret_cast<uint4*>(out)[2 * unit] = rounded(sums);
    reinterpret_cast<uint4*>(out)[2 * unit + 1] = rounded(sums + 8);
  }

 private:
  __device__ static void add_block(const uint32_t* words, const LogFmtDecoding& decoding,
                                   float weight, float* sums) {
    uint32_t loaded[kLogFmtBlockWords + 1];
#pragma unroll
    for (int i = 0; i < kLogFmtBlockWords; i++) {
      loaded[i] = __ldcg(words + i);
    }
    loaded[kLogFmtBlockWords] = 0;
    const uint32_t signs = loaded[kLogFmtBlockWords - 1] >> 16;
#pragma unroll
    for (int i = 0; i < kChannels; i++) {
      const int bit = i * kLogFmtCodeBits;
      const uint32_t code =
          __funnelshift_r(loaded[bit / 32], loaded[bit / 32 + 1], bit % 32) & kLogFmtCodeMask;
      sums[i] = __fmaf_rn(weight, decoding.value(code, (signs >> i & 1) != 0), sums[i]);
    }
  }
};

// A block's share of the tokens' parts.
template <class Units>
class TokenSums {
 public:
  // Made before the outputs are there, so that the first choices are.
  __device__ TokenSums(const LowLatencyCombineParams& params, CombineStorage& shared)
      : params_(params), shared_(shared), item_(static_cast<int>(blockIdx.x)) {
    load_next();
  }

  // All threads.
  __device__ void run() {
    const int units = params_.row_bytes / (2 * Units::kChannels);
    const int per_part = static_cast<int>(ceil_div(units, params_.parts_per_token));
    const int items = params_.num_tokens * params_.parts_per_token;
    for (int turn = 0; item_ < items; turn ^= 1) {
      const int token = item_ / params_.parts_per_token;
      const int first = (item_ - token * params_.parts_per_token) * per_part;
      TokenTable& table = shared_.tokens[turn];  // a slow warp may still read the other one
      if (warp_index() == 0) {
        find_rows(params_, shared_, choice_, table);
      }
      __syncthreads();
      item_ += static_cast<int>(gridDim.x);
      load_next();
      char* out = params_.out + int64_t{token} * params_.row_bytes;
      for (int unit = first + static_cast<int>(threadIdx.x); unit < min(first + per_part, units);
           unit += kLowLatencyThreads) {
        Units::sum(table, unit, out, log_fmt_chunk(params_.row_bytes / 2), shared_.logarithms);
      }
    }
  }

 private:
  __device__ void load_next() {
    if (warp_index() == 0) {
      choice_ = load_choice(params_, shared_, item_ / params_.parts_per_token);
    }
  }

  const LowLatencyCombineParams& params_;
  CombineStorage& shared_;
  int item_;
  Choice choice_;
};

}  // namespace ep4j
