// Two ways to bring rows to the sum, one warp each: through the bulk-copy engine into a ring of
// slots, and by plain loads.
#pragma once

#include "device/ptx/bulk.cuh"
#include "device/routing/claims.cuh"
#include "kernels/normal/row_sum.cuh"

namespace ep4j {

constexpr int kPullLead = 3;  // tokens claimed ahead, the one that is summed among them

__device__ __forceinline__ Claims claim_tokens(const PullParams& params) {
  return {params.view.state->claimed,
          static_cast<int>(blockIdx.x) * params.shape.warps + warp_index(),
          static_cast<int>(gridDim.x) * params.shape.warps, kPullLead};
}

__device__ __forceinline__ int chunks_of(const PullParams& params) {
  return static_cast<int>(ceil_div(params.row_bytes, params.shape.chunk_bytes));
}

__device__ __forceinline__ int chunk_bytes_of(const PullParams& params, int chunk) {
  return min(params.shape.chunk_bytes, params.row_bytes - chunk * params.shape.chunk_bytes);
}

#if EP4J_HAS_BULK_COPY
// Walks over the pieces (token, chunk, row) in the order of the sums and loads each into the next
// slot of the ring. It runs ahead of the sums by as many pieces as there are slots, across the ends
// of chunks and tokens, so that loads stay in flight.
class PieceLoader {
 public:
  __device__ PieceLoader(const PullParams& params, const RowFinder& finder, const Claims& claims,
                         char* slots, uint64_t* barriers)
      : params_(params),
        finder_(finder),
        claims_(claims),
        slots_(slots),
        barriers_(barriers),
        rows_(finder.find(claims.item(0))),
        left_(rows_.lanes) {}

  // Loads until the ring is full, or no piece of a token that is claimed is left. number: of the
  // token that is summed. All lanes.
  __device__ void fill(int number) {
    while (ahead_ < params_.shape.slots) {
      if (left_ != 0) {
        load();
      } else if (!advance(number)) {
        return;
      }
    }
  }

  // The oldest piece was summed, by all lanes: another takes its slot.
  __device__ void replace(int number) {
    ahead_--;
    if (left_ != 0) {
      load();
    } else {
      fill(number);
    }
  }

 private:
  __device__ void load() {
    const int lane = __ffs(static_cast<int>(left_)) - 1;
    if (lane_index() == lane) {
      const int bytes = chunk_bytes_of(params_, chunk_);
      ptx::barrier_expect(&barriers_[slot_], bytes);
      ptx::bulk_load(slots_ + slot_ * params_.shape.chunk_bytes,
                     rows_.row + chunk_ * params_.shape.chunk_bytes, bytes, &barriers_[slot_]);
    }
    slot_ = slot_ + 1 == params_.shape.slots ? 0 : slot_ + 1;
    left_ &= left_ - 1;
    ahead_++;
  }

  // To the next chunk, or to the next token; false if that is not known yet, or there is none.
  __device__ bool advance(int number) {
    if (rows_.lanes != 0 && chunk_ + 1 < chunks_of(params_)) {
      chunk_++;
    } else {
      if (number_ + 1 == number + kPullLead || claims_.item(number_) >= params_.num_tokens) {
        return false;
      }
      number_++;
      chunk_ = 0;
      rows_ = finder_.find(claims_.item(number_));
    }
    left_ = rows_.lanes;
    return true;
  }

  const PullParams& params_;
  const RowFinder& finder_;
  const Claims& claims_;
  char* slots_;
  uint64_t* barriers_;
  int number_ = 0;  // of the token it is at
  int chunk_ = 0;
  int slot_ = 0;
  int ahead_ = 0;  // pieces that are loaded and not summed
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
      : params_(params), finder_(params, outputs) {
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
    Claims claims = claim_tokens(params_);
    PieceLoader loader(params_, finder_, claims, slots_, barriers_);
    for (int number = 0; claims.item(number) < params_.num_tokens; number++) {
      const int token = claims.item(number);
      claims.claim(number + kPullLead);
      loader.fill(number);
      const TokenRows rows = finder_.find(token);
      const float weight = finder_.gate_weight(token);
      for (int chunk = 0; chunk < chunks_of(params_); chunk++) {
        sum_chunk(loader, number, token, chunk, rows.lanes, weight);
      }
      finder_.store_weights(token, rows.lanes);
    }
  }

 private:
  __device__ void sum_chunk(PieceLoader& loader, int number, int token, int chunk, uint32_t lanes,
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
      loader.replace(number);
    });
    sum.store(params_.out + offset, bytes);
  }

  const PullParams& params_;
  RowFinder finder_;
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
      : params_(params), finder_(params, outputs) {}

  __device__ void run() const {
    Claims claims = claim_tokens(params_);
    for (int number = 0; claims.item(number) < params_.num_tokens; number++) {
      const int token = claims.item(number);
      claims.claim(number + kPullLead);
      const TokenRows rows = finder_.find(token);
      const float weight = finder_.gate_weight(token);
      for (int chunk = 0; chunk < chunks_of(params_); chunk++) {
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
};

}  // namespace ep4j
