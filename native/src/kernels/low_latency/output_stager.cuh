// Brings expert outputs to where peers read them: copies rows, or encodes them as LogFMT-10, also
// in place. Rows of peers that only a network reaches go on from there, by the warp that has
// brought them: each piece is put with a count of its own, so that nothing else need be ordered.
// Its source is used again only when the peer has read.
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
    if constexpr (transport::kHasRemotePeers) {
      const int sources = view.layout.num_ranks;
      share_rows(view.layout.local_experts * sources, sources, pieces, share,
                 [&](int group) { return count_of(group / sources, group % sources); },
                 [&](int group, int ordinal, int32_t begin, int piece) {
                   const int expert = group / sources;
                   const int64_t row = expert * view.layout.rows_per_expert() + begin + ordinal;
                   move(row, piece);
                   put({expert, group % sources, ordinal, piece}, row);
                 });
    } else {
      share_rows(view.layout.local_experts, 1, pieces, share,
                 [&](int expert) { return shared_.verdict == EP4J_SENT ? view.counts[expert] : 0; },
                 [&](int expert, int row, int32_t, int piece) {
                   move(expert * view.layout.rows_per_expert() + row, piece);
                 });
    }
  }

 private:
  // A part of a row, as its token's rank knows it.
  struct Piece {
    int expert;  // local
    int source;
    int ordinal;  // among the source's rows for the expert
    int index;
  };

  // Rows of a source for a local expert.
  __device__ int32_t count_of(int expert, int source) const {
    const LowLatencyView& view = params_.view;
    const int experts = view.layout.local_experts;
    if (shared_.verdict != EP4J_SENT) {
      return 0;
    }
    const int32_t end = source + 1 < view.layout.num_ranks
                            ? view.begins[(source + 1) * experts + expert]
                            : view.counts[expert];
    return end - view.begins[source * experts + expert];
  }

  // Puts a piece that is in the output to its token's rank. All lanes of a warp.
  __device__ void put(const Piece& piece, int64_t row) const {
    const LowLatencyView& view = params_.view;
    if (transport::reaches(view.rank, piece.source) || is_masked(view.rank, piece.source)) {
      return;
    }
    const LowLatencyLayout& layout = view.layout;
    const int64_t back = layout.return_row(
        view.rank.rank * layout.local_experts + piece.expert, piece.ordinal);
    char* returns = view.own<char>(layout.returns(params_.output));
    uint64_t* word = view.own<uint64_t>(layout.returned(params_.output, view.rank.rank));
    __syncwarp();  // what all lanes have brought is there
    if constexpr (kLogFmt) {
      const int chunk = log_fmt_chunk(params_.row_bytes / 2);
      const int64_t range_bytes = int64_t{4} * chunk / kLogFmtGroupChannels;
      const int64_t ranges = layout.ranges() + piece.index * range_bytes;
      const char* range = output_ + ranges + row * layout.range_bytes();
      const bool raw = (*reinterpret_cast<const uint32_t*>(range) & kRawChunk) != 0;
      const int64_t offset = int64_t{2} * chunk * piece.index;
      transport::put_and_add(returns + ranges + back * layout.range_bytes(), range, range_bytes,
                             word, 1, piece.source);
      transport::put_and_add(returns + back * params_.row_bytes + offset,
                             output_ + row * params_.row_bytes + offset,
                             raw ? int64_t{2} * chunk : chunk_bytes(chunk), word, 1, piece.source);
    } else {
      transport::put_and_add(returns + back * params_.row_bytes, output_ + row * params_.row_bytes,
                             params_.row_bytes, word, 1, piece.source);
    }
    if (lane_index() == 0) {
      atomicAdd(reinterpret_cast<unsigned long long*>(
                    &view.state->pieces_put[params_.output][piece.source]),
                kLogFmt ? 2ull : 1ull);
    }
  }

  // Of an encoded chunk.
  __device__ static int64_t chunk_bytes(int channels) {
    return int64_t{channels} / kLogFmtBlockChannels * kLogFmtBlockWords * 4;
  }

  __device__ void move(int64_t row, int piece) const {
    const char* from = y_ + row * params_.row_bytes;
    char* to = output_ + row * params_.row_bytes;
    if constexpr (kLogFmt) {
      encode(from, to, row, piece);
    } else if (from != to) {
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
