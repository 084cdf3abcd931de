// Sums of BF16 rows in float32, in registers: one warp, one chunk of one token at a time.
#pragma once

#include "device/numeric/bf16.hpp"
#include "device/ptx/convert.cuh"
#include "device/sync/warp.cuh"
#include "kernels/normal/combine_pull.hpp"

namespace ep4j {

// A chunk's sum. Lane l holds vectors l, l + 32, ... of the chunk.
template <int kVectors>
class ChunkSum {
 public:
  static constexpr int kValues = 8;  // BF16 values of a 16-byte vector
  static constexpr int kBytes = kVectors * kWarpLanes * kVectorBytes;  // of a whole chunk

  // Starts at +0, or at the sum of the biases.
  __device__ void begin(const PullParams& params, int64_t offset, int bytes) {
#pragma unroll
    for (int i = 0; i < kVectors; i++) {
#pragma unroll
      for (int j = 0; j < kValues; j++) {
        sums_[i][j] = 0.0f;
      }
    }
    if (params.bias0 == nullptr) {
      return;
    }
    for_each_vector(bytes, [&](int i) { add_biases(params, offset + place(i), sums_[i]); });
  }

  // Adds a row's chunk, or its product with a weight in one rounding.
  template <bool kWeighted>
  __device__ void add(const char* row, int bytes, float weight) {
    for_each_vector(bytes, [&](int i) {
      uint4 vector = *reinterpret_cast<const uint4*>(row + place(i));
      add_vector<kWeighted>(vector, weight, sums_[i]);
    });
  }

  // Rounds once, to BF16.
  __device__ void store(char* out, int bytes) const {
    for_each_vector(bytes, [&](int i) {
      const float* sum = sums_[i];
      *reinterpret_cast<uint4*>(out + place(i)) =
          uint4{ptx::bf16_pair(sum[0], sum[1]), ptx::bf16_pair(sum[2], sum[3]),
                ptx::bf16_pair(sum[4], sum[5]), ptx::bf16_pair(sum[6], sum[7])};
    });
  }

 private:
  __device__ static int place(int vector) {
    return (vector * kWarpLanes + lane_index()) * kVectorBytes;
  }

  // Where there is most to do, in whole chunks, nothing is asked about each vector.
  template <class Body>
  __device__ static void for_each_vector(int bytes, Body body) {
    if (bytes == kBytes) {
#pragma unroll
      for (int i = 0; i < kVectors; i++) {
        body(i);
      }
      return;
    }
#pragma unroll
    for (int i = 0; i < kVectors; i++) {
      if (place(i) < bytes) {
        body(i);
      }
    }
  }

  __device__ static void add_biases(const PullParams& params, int64_t offset, float* sums) {
    uint4 first = *reinterpret_cast<const uint4*>(params.bias0 + offset);
    if (params.bias1 == nullptr) {
      add_vector<false>(first, 1.0f, sums);
      return;
    }
    uint4 second = *reinterpret_cast<const uint4*>(params.bias1 + offset);
    const uint32_t a[4] = {first.x, first.y, first.z, first.w};
    const uint32_t b[4] = {second.x, second.y, second.z, second.w};
#pragma unroll
    for (int j = 0; j < 4; j++) {
      sums[2 * j] += bf16_to_float(a[j] & 0xFFFF) + bf16_to_float(b[j] & 0xFFFF);
      sums[2 * j + 1] += bf16_to_float(a[j] >> 16) + bf16_to_float(b[j] >> 16);
    }
  }

  template <bool kWeighted>
  __device__ static void add_vector(const uint4& vector, float weight, float* sums) {
    const uint32_t words[4] = {vector.x, vector.y, vector.z, vector.w};
#pragma unroll
    for (int j = 0; j < 4; j++) {
      float low = bf16_to_float(words[j] & 0xFFFF);
      float high = bf16_to_float(words[j] >> 16);
      sums[2 * j] = kWeighted ? fmaf(weight, low, sums[2 * j]) : sums[2 * j] + low;
      sums[2 * j + 1] = kWeighted ? fmaf(weight, high, sums[2 * j + 1]) : sums[2 * j + 1] + high;
    }
  }

  float sums_[kVectors][kValues];
};

// Where a token's rows are. Lane r stands for rank r in rank-major order, for choice r in
// expert-major order; the order of the lanes is the order of the sum.
struct TokenRows {
  const char* row;  // this lane's; null if there is none
  uint32_t lanes;   // that have one
};

class RowFinder {
 public:
  __device__ RowFinder(const PullParams& params, const PeerOutput* outputs)
      : params_(params), outputs_(outputs) {}

  __device__ TokenRows find(int token) const {
    int32_t index = row_index(token);
    TokenRows rows = {nullptr, 0};
    if (index >= 0) {
      const char* x = outputs_[peer(token)].x;
      rows.row = x == nullptr ? nullptr : x + int64_t{index} * params_.row_bytes;
    }
    rows.lanes = __ballot_sync(kAllLanes, rows.row != nullptr);
    return rows;
  }

  // This lane's gate weight of the token; for expert-major order.
  __device__ float gate_weight(int token) const {
    const int lane = lane_index();
    return params_.weighted != 0 && lane < params_.num_topk
               ? params_.handle.weights[int64_t{token} * params_.num_topk + lane]
               : 0.0f;
  }

  // Lane k: the weight that comes back for choice k. Rank-major: the sum of the rows' weight
  // vectors in rank order; expert-major: the choice's own.
  __device__ void store_weights(int token, uint32_t lanes) const {
    const int lane = lane_index();
    if (params_.out_weights == nullptr) {
      return;
    }
    const int32_t index = row_index(token);
    float sum = 0.0f;
    if (params_.rank_major != 0) {
      for_each_lane(lanes, [&](int rank) {
        int64_t row = __shfl_sync(kAllLanes, index, rank);
        if (lane < params_.num_topk) {
          sum += outputs_[rank].weights[row * params_.num_topk + lane];
        }
      });
    } else if ((lanes >> lane & 1) != 0) {
      sum = outputs_[peer(token)].weights[index];
    }
    if (lane < params_.num_topk) {
      params_.out_weights[int64_t{token} * params_.num_topk + lane] = sum;
    }
  }

 private:
  __device__ int32_t row_index(int token) const {
    const int lane = lane_index();
    return lane < params_.fanout && token < params_.num_tokens
               ? params_.handle.rows[int64_t{token} * params_.fanout + lane]
               : -1;
  }

  __device__ int peer(int token) const {
    const int lane = lane_index();
    return params_.rank_major != 0
               ? lane
               : params_.handle.experts[int64_t{token} * params_.fanout + lane] /
                     params_.view.local_experts;
  }

  const PullParams& params_;
  const PeerOutput* outputs_;
};

}  // namespace ep4j
