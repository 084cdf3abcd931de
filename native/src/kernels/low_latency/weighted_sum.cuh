// Sums a token's rows: fma(weight, row, sum) in float32, from +0, in the order of the choices,
// rounded once. A block sums one part of one token at a time, every thread a few channels of all
// rows, so that a whole token's loads are in flight at once.
#pragma once

#include "device/ptx/convert.cuh"
#include "kernels/low_latency/combine_storage.cuh"

namespace ep4j {

// Which rows a token has. Warp 0.
__device__ inline void find_rows(const LowLatencyCombineParams& params,
                                 const CombineStorage& shared, int token, TokenTable& table) {
  const LowLatencyView& view = params.view;
  const LowLatencyLayout& layout = view.layout;
  const int lane = lane_index();
  const int64_t place = int64_t{token} * params.num_topk + lane;
  const bool is_choice = lane < params.num_topk && shared.verdict == EP4J_SENT;
  const int32_t expert = is_choice ? view.experts[place] : -1;
  const int32_t ordinal = is_choice ? view.ordinals[place] : 0;
  const float weight = is_choice ? params.weights[place] : 0.0f;
  const int peer = expert / layout.local_experts;
  const int local = expert % layout.local_experts;
  const bool there = expert >= 0 && (shared.arrived >> peer & 1) != 0;
  const uint32_t rows = __ballot_sync(kAllLanes, there);
  if (there) {
    const int output = shared.outputs[peer];
    const int32_t* begins = view.own<int32_t>(layout.ready(output, peer) + kReadyBegins);
    const int64_t row = local * layout.rows_per_expert() + begins[local] + ordinal;
    const char* base = view.at<char>(peer, layout.output(output));
    const int k = __popc(rows & ((1u << lane) - 1));
    table.rows[k] = base + row * params.row_bytes;
    table.ranges[k] =
        reinterpret_cast<const uint32_t*>(base + layout.ranges() + row * layout.range_bytes());
    table.weights[k] = weight;
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

// This block's share of the tokens' parts. All threads.
template <class Units>
__device__ void sum_tokens(const LowLatencyCombineParams& params, CombineStorage& shared) {
  const int units = params.row_bytes / (2 * Units::kChannels);
  const int per_part = static_cast<int>(ceil_div(units, params.parts_per_token));
  const int items = params.num_tokens * params.parts_per_token;
  int turn = 0;
  for (int item = static_cast<int>(blockIdx.x); item < items; item += static_cast<int>(gridDim.x)) {
    const int token = item / params.parts_per_token;
    const int first = (item - token * params.parts_per_token) * per_part;
    TokenTable& table = shared.tokens[turn];
    turn ^= 1;  // a slow warp may still read the other one
    if (warp_index() == 0) {
      find_rows(params, shared, token, table);
    }
    __syncthreads();
    char* out = params.out + int64_t{token} * params.row_bytes;
    for (int unit = first + static_cast<int>(threadIdx.x); unit < min(first + per_part, units);
         unit += kLowLatencyThreads) {
      Units::sum(table, unit, out, log_fmt_chunk(params.row_bytes / 2), shared.logarithms);
    }
  }
}

}  // namespace ep4j
