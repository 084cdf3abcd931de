// Brings expert outputs to where peers read them: copies rows, or encodes them as LogFMT-10, also
// in place.
//
// Invariant: a warp has loaded a whole chunk before it stores any of it, and chunks stay at their
// place in the row, so that encoding in place overwrites nothing that is still to be read.
#pragma once

#include "kernels/low_latency/combine_storage.cuh"
#include "kernels/low_latency/row_walk.cuh"

namespace ep4j {

// One lane's channels of a chunk: kBlocks blocks of 16 in a row.
template <int kBlocks>
class ChunkEncoder {
 public:
  static constexpr int kChannels = kBlocks * kLogFmtBlockChannels * kWarpLanes;

  // All lanes of a warp; from and to are the chunk's beginnings, ranges those of its groups.
  __device__ static void encode(const char* from, char* to, uint32_t* ranges,
                                const double* logarithms) {
    const int lane = lane_index();
    uint4 values[2 * kBlocks];
#pragma unroll
    for (int i = 0; i < 2 * kBlocks; i++) {
      values[i] = reinterpret_cast<const uint4*>(from)[lane * 2 * kBlocks + i];
    }
    uint32_t largest = 0;
    uint32_t smallest = kBf16MagnitudeMask;
#pragma unroll
    for (const uint4& vector : values) {
      const uint32_t words[4] = {vector.x, vector.y, vector.z, vector.w};
#pragma unroll
      for (uint32_t word : words) {
        const uint32_t low = word & kBf16MagnitudeMask;
        const uint32_t high = word >> 16 & kBf16MagnitudeMask;
        largest = max(largest, max(low, high));
        smallest = min(smallest, min(low, high));
      }
    }
    for (int distance = 1; distance < kLanesPerRange; distance *= 2) {
      largest = max(largest, __shfl_xor_sync(kAllLanes, largest, distance));
      smallest = min(smallest, __shfl_xor_sync(kAllLanes, smallest, distance));
    }
    const bool cast = __all_sync(kAllLanes, largest < kBf16One && smallest < largest);
    if (lane % kLanesPerRange == 0) {
      ranges[lane / kLanesPerRange] = largest | (cast ? 0 : kRawChunk) | smallest << 16;
    }
    if (cast) {
      const LogFmtEncoding encoding(largest, smallest, logarithms);
#pragma unroll
      for (int block = 0; block < kBlocks; block++) {
        store_block(values[2 * block], values[2 * block + 1], encoding, logarithms,
                    reinterpret_cast<uint32_t*>(to) + (lane * kBlocks + block) * kLogFmtBlockWords);
      }
    } else if (from != to) {
#pragma unroll
      for (int i = 0; i < 2 * kBlocks; i++) {
        reinterpret_cast<uint4*>(to)[lane * 2 * kBlocks + i] = values[i];
      }
    }
  }

 private:
  static constexpr int kLanesPerRange = kLogFmtGroupChannels / (kBlocks * kLogFmtBlockChannels);

  __device__ static void store_block(const uint4& first, const uint4& second,
                                     const LogFmtEncoding& encoding, const double* logarithms,
                                     uint32_t* to) {
    const uint32_t words[8] = {first.x,  first.y,  first.z,  first.w,
                               second.x, second.y, second.z, second.w};
    uint64_t pending = 0;
    uint32_t signs = 0;
    int bits = 0;
    int stored = 0;
#pragma unroll
    for (int i = 0; i < kLogFmtBlockChannels; i++) {
      const uint32_t value = words[i / 2] >> (i % 2 * 16) & 0xFFFF;
      signs |= (value >> 15) << i;
      pending |= uint64_t{encoding.code(value & kBf16MagnitudeMask, logarithms)} << bits;
      bits += kLogFmtCodeBits;
      if (bits >= 32) {
        to[stored++] = static_cast<uint32_t>(pending);
        pending >>= 32;
        bits -= 32;
      }
    }
    to[stored] = static_cast<uint32_t>(pending) | signs << bits;
  }
};

template <bool kLogFmt>
class OutputStager {
 public:
  __device__ OutputStager(const LowLatencyCombineParams& params, const CombineStorage& shared)
      : params_(params),
        shared_(shared),
        output_(params.view.own<char>(params.view.layout.output(params.output))),
        y_(params.y != nullptr ? params.y : output_) {}

  // All warps of all blocks.
  __device__ void run() const {
    const LowLatencyView& view = params_.view;
    const int hidden = params_.row_bytes / 2;
    const int pieces = kLogFmt ? hidden / log_fmt_chunk(hidden) : 1;
    const Share share = {static_cast<uint32_t>(warp_index()) * gridDim.x + blockIdx.x,
                         static_cast<uint32_t>(kLowLatencyWarps) * gridDim.x};
    share_rows(view.layout.local_experts, 1, pieces, share,
               [&](int expert) { return shared_.verdict == EP4J_SENT ? view.counts[expert] : 0; },
               [&](int expert, int row, int32_t, int piece) {
                 move(expert * view.layout.rows_per_expert() + row, piece);
               });
  }

 private:
  __device__ void move(int64_t row, int piece) const {
    const char* from = y_ + row * params_.row_bytes;
    char* to = output_ + row * params_.row_bytes;
    if constexpr (kLogFmt) {
      encode(from, to, row, piece);
    } else {
      copy(from, to);
    }
  }

  __device__ void encode(const char* from, char* to, int64_t row, int piece) const {
    const int chunk = log_fmt_chunk(params_.row_bytes / 2);
    const int64_t offset = int64_t{2} * chunk * piece;
    uint32_t* ranges =
        reinterpret_cast<uint32_t*>(output_ + params_.view.layout.ranges() +
                                    row * params_.view.layout.range_bytes()) +
        piece * (chunk / kLogFmtGroupChannels);
    if (chunk == kLogFmtLargeChunk) {
      ChunkEncoder<2>::encode(from + offset, to + offset, ranges, shared_.logarithms);
    } else {
      ChunkEncoder<1>::encode(from + offset, to + offset, ranges, shared_.logarithms);
    }
  }

  __device__ void copy(const char* from, char* to) const {
    constexpr int kLoads = 4;  // in flight per lane
    constexpr int kStep = kWarpLanes * static_cast<int>(sizeof(uint4));
    for (int first = lane_index() * static_cast<int>(sizeof(uint4)); first < params_.row_bytes;
         first += kLoads * kStep) {
      uint4 values[kLoads];
#pragma unroll
      for (int i = 0; i < kLoads; i++) {
        if (first + i * kStep < params_.row_bytes) {
          values[i] = *reinterpret_cast<const uint4*>(from + first + i * kStep);
        }
      }
#pragma unroll
      for (int i = 0; i < kLoads; i++) {
        if (first + i * kStep < params_.row_bytes) {
          *reinterpret_cast<uint4*>(to + first + i * kStep) = values[i];
        }
      }
    }
  }

  const LowLatencyCombineParams& params_;
  const CombineStorage& shared_;
  char* output_;
  const char* y_;
};

}  // namespace ep4j
