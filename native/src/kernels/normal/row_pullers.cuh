// Two ways to bring rows to the sum, one warp each: through the bulk-copy engine into a ring of
// slots, and by plain loads.
#pragma once

#include "device/ptx/bulk.cuh"
#include "kernels/normal/row_sum.cuh"

namespace ep4j {

// A warp's share of the tokens, cut into chunks.
struct PullShare {
  int first_token;
  int token_step;
  int chunks;

  __device__ explicit PullShare(const PullParams& params)
      : first_token(static_cast<int>(blockIdx.x) * params.shape.warps + warp_index()),
        token_step(static_cast<int>(gridDim.x) * params.shape.warps),
        chunks(static_cast<int>(ceil_div(params.row_bytes, params.shape.chunk_bytes))) {}
};

__device__ __forceinline__ int chunk_bytes_of(const PullParams& params, int chunk) {
  return min(params.shape.chunk_bytes, params.row_bytes - chunk * params.shape.chunk_bytes);
}

#if EP4J_HAS_BULK_COPY
// Walks over the pieces (token, chunk, row) in the order of the sums and loads each into the next
// slot of the ring. It runs ahead of the sums by as many pieces as there are slots, across the ends
// of chunks and tokens, so that loads stay in flight.
class PieceLoader {
 public:
  __device__ PieceLoader(const PullParams& params, const RowFinder& finder, const PullShare& share,
                         char* slots, uint64_t* barriers)
      : params_(params),
        finder_(finder),
        share_(share),
        slots_(slots),
        barriers_(barriers),
        token_(share.first_token) {
    rows_ = finder_.find(token_);
    left_ = rows_.lanes;
    skip_to_piece();
  }

  // Loads the next piece, if there is one. All lanes; the slot's last piece was summed.
  __device__ void load_next() {
    if (token_ >= params_.num_tokens) {
      return;
    }
    const int lane = __ffs(static_cast<int>(left_)) - 1;
    if (lane_index() == lane) {
      const int bytes = chunk_bytes_of(params_, chunk_);
      ptx::barrier_expect(&barriers_[slot_], bytes);
      ptx::bulk_load(slots_ + slot_ * params_.shape.chunk_bytes,
                     rows_.row + chunk_ * params_.shape.chunk_bytes, bytes, &barriers_[slot_]);
    }
    slot_ = slot_ + 1 == params_.shape.slots ? 0 : slot_ + 1;
    left_ &= left_ - 1;
    skip_to_piece();
  }

 private:
  // Moves on until a row is left in the current chunk, or no token is.
  __device__ void skip_to_piece() {
    while (left_ == 0 && token_ < params_.num_tokens) {
      chunk_++;
      if (chunk_ == share_.chunks || rows_.lanes == 0) {
        chunk_ = 0;
        token_ += share_.token_step;
        rows_ = finder_.find(token_);
      }
      left_ = rows_.lanes;
    }
  }

  const PullParams& params_;
  const RowFinder& finder_;
  const PullShare& share_;
  char* slots_;
  uint64_t* barriers_;
  int token_;
  int chunk_ = 0;
  int slot_ = 0;
  TokenRows rows_;
  uint32_t left_;  // lanes whose piece of this chunk is not loaded yet
};

// Sums out of the ring. A slot is loaded again only after every lane has read it, with a proxy
// fence between.
template <int kVectors, bool kWeighted>
class BulkRowPuller {
 public:
  __device__ BulkRowPuller(const PullParams& params, const PeerOutput* outputs, char* shared,
                           uint64_t* barriers)
      : params_(params), finder_(params, outputs), share_(params) {
    slots_ = shared + warp_index() * params.shape.slots * params.shape.chunk_bytes;
    barriers_ = barriers + warp_index() * kMaxStages;
    if (lane_index() == 0) {
      for (int slot = 0; slot < params.shape.slots; slot++) {
        ptx::barrier_init(&barriers_[slot], 1);
      }
      ptx::fence_barrier_init();
      ptx::fence_proxy_shared();
    }
    // The outputs were acquired by an earlier kernel's ordinary loads.
    ptx::fence_proxy_global();
    __syncwarp();
  }

  __device__ void run() {
    PieceLoader loader(params_, finder_, share_, slots_, barriers_);
    for (int slot = 0; slot < params_.shape.slots; slot++) {
      loader.load_next();
    }
    TokenRows rows = finder_.find(share_.first_token);
    float weight =
        share_.first_token < params_.num_tokens ? finder_.gate_weight(share_.first_token) : 0.0f;
    for (int token = share_.first_token; token < params_.num_tokens; token += share_.token_step) {
      for (int chunk = 0; chunk < share_.chunks; chunk++) {
        sum_chunk(loader, token, chunk, rows.lanes, weight);
      }
      finder_.store_weights(token, rows.lanes);
      const int next = token + share_.token_step;
      rows = finder_.find(next);
      weight = next < params_.num_tokens ? finder_.gate_weight(next) : 0.0f;
    }
  }

 private:
  __device__ void sum_chunk(PieceLoader& loader, int token, int chunk, uint32_t lanes,
                            float weight) {
    const int64_t offset = int64_t{token} * params_.row_bytes + chunk * params_.shape.chunk_bytes;
    const int bytes = chunk_bytes_of(params_, chunk);
    ChunkSum<kVectors> sum;
    sum.begin(params_, offset, bytes);
    for_each_lane(lanes, [&](int lane) {
      ptx::barrier_wait(&barriers_[slot_], phase_);
      sum.template add<kWeighted>(slots_ + slot_ * params_.shape.chunk_bytes, bytes,
                                  kWeighted ? __shfl_sync(kAllLanes, weight, lane) : 1.0f);
      ptx::fence_proxy_shared();
      __syncwarp();
      slot_++;
      if (slot_ == params_.shape.slots) {
        slot_ = 0;
        phase_ ^= 1;
      }
      loader.load_next();
    });
    sum.store(params_.out + offset, bytes);
  }

  const PullParams& params_;
  RowFinder finder_;
  PullShare share_;
  char* slots_;
  uint64_t* barriers_;
  int slot_ = 0;
  uint32_t phase_ = 0;
};
#endif

template <int kVectors, bool kWeighted>
class PlainRowPuller {
 public:
  __device__ PlainRowPuller(const PullParams& params, const PeerOutput* outputs)
      : params_(params), finder_(params, outputs), share_(params) {}

  __device__ void run() const {
    for (int token = share_.first_token; token < params_.num_tokens; token += share_.token_step) {
      TokenRows rows = finder_.find(token);
      float weight = finder_.gate_weight(token);
      for (int chunk = 0; chunk < share_.chunks; chunk++) {
        sum_chunk(token, chunk, rows, weight);
      }
      finder_.store_weights(token, rows.lanes);
    }
  }

 private:
  __device__ void sum_chunk(int token, int chunk, const TokenRows& rows, float weight) const {
    const int64_t begin = chunk * params_.shape.chunk_bytes;
    const int64_t offset = int64_t{token} * params_.row_bytes + begin;
    const int bytes = chunk_bytes_of(params_, chunk);
    ChunkSum<kVectors> sum;
    sum.begin(params_, offset, bytes);
    const uint64_t own_row = reinterpret_cast<uint64_t>(rows.row);
    for_each_lane(rows.lanes, [&](int lane) {
      const char* row = reinterpret_cast<const char*>(__shfl_sync(kAllLanes, own_row, lane));
      sum.template add<kWeighted>(row + begin, bytes,
                                  kWeighted ? __shfl_sync(kAllLanes, weight, lane) : 1.0f);
    });
    sum.store(params_.out + offset, bytes);
  }

  const PullParams& params_;
  RowFinder finder_;
  PullShare share_;
};

}  // namespace ep4j
