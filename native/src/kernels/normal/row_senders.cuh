// Two ways to move rows, one warp each: through the bulk-copy engine, and by loads and stores. Both
// read a row once and write it to every place where it goes. A row moves in chunks; its metadata
// goes with the first one.
#pragma once

#include "device/ptx/bulk.cuh"
#include "device/numeric/fp8_cast.cuh"
#include "device/routing/claims.cuh"
#include "kernels/normal/row_route.cuh"

namespace ep4j {

// What both senders do alike.
template <bool kCast>
class RowSenderBase {
 protected:
  __device__ RowSenderBase(const SendParams& params, const Destination* destinations, bool sent)
      : params(params),
        destinations(destinations),
        router(params, destinations, sent),
        metadata(params, destinations),
        chunks(static_cast<int>(ceil_div(params.source_row_bytes, params.shape.chunk_bytes))) {}

  __device__ Claims claim_tokens(int lead) const {
    const int warps = params.shape.warps;
    return {params.view.state->claimed, static_cast<int>(blockIdx.x) * warps + warp_index(),
            static_cast<int>(gridDim.x) * warps, lead};
  }

  __device__ int chunk_bytes(int chunk) const {
    return min(params.shape.chunk_bytes,
               params.source_row_bytes - chunk * params.shape.chunk_bytes);
  }

  // This lane's row, at the chunk; null if it has none.
  __device__ char* place(const RowTarget& target, int chunk) const {
    constexpr int kShrink = kCast ? 2 : 1;
    return target.row < 0
               ? nullptr
               : destinations[target.peer].x + int64_t{target.row} * params.layout.form.row_bytes +
                     chunk * (params.shape.chunk_bytes / kShrink);
  }

  // Stores a chunk's scales in every row of the token.
  __device__ void put_cast_scales(const RowTarget& target, int chunk,
                                  const uint32_t* scratch) const {
    const int groups = chunk_bytes(chunk) / kSourceGroupBytes;
    const int first =
        chunk * scale_words_of(params.shape.chunk_bytes / kSourceGroupBytes, params.cast);
    const int words = scale_words_of(groups, params.cast);
    uint32_t lanes = __ballot_sync(kAllLanes, target.row >= 0);
    for (int begin = 0; begin < words; begin += kWarpLanes) {
      int word = begin + lane_index();
      uint32_t value = word < words ? scale_word(scratch, groups, word, params.cast) : 0;
      metadata.put_scale(lanes, target, first + word, first + words, value);
    }
  }

  const SendParams& params;
  const Destination* destinations;
  RowRouter router;
  RowMetadata metadata;
  const int chunks;
};

#if EP4J_HAS_BULK_COPY
// Rows through shared memory by the bulk-copy engine. Stages form a ring: lane 0 loads chunks
// ahead, every lane that has a row stores from the stage.
//
// A stage is loaded again only after the stores from it have read it, on every lane. With a cast
// the warp reads the stage itself and leaves the codes there, in its first half; the proxy fence
// orders its writes before the stores and its reads before the next load.
template <bool kCast>
class BulkRowSender : RowSenderBase<kCast> {
  using Base = RowSenderBase<kCast>;
  using Base::params;

 public:
  __device__ BulkRowSender(const SendParams& params, const Destination* destinations, bool sent,
                           char* shared, uint64_t* barriers)
      : Base(params, destinations, sent),
        ahead_(params.shape.stages - 1),
        barriers_(barriers + warp_index() * kMaxStages) {
    const SendShape& shape = params.shape;
    stages_ = shared + warp_index() * (shape.stages * shape.stage_bytes + shape.cast_bytes);
    scratch_ = reinterpret_cast<uint32_t*>(stages_ + shape.stages * shape.stage_bytes);
    if (lane_index() == 0) {
      for (int stage = 0; stage < shape.stages; stage++) {
        ptx::barrier_init(&barriers_[stage], 1);
      }
      ptx::fence_barrier_init();
      ptx::fence_proxy_shared();
    }
    __syncwarp();
  }

  // Moves every row of this warp; afterwards the stores are complete.
  __device__ void run() {
    // Items are loaded ahead of their token by so many tokens at most; one more is claimed.
    const int lead = (this->chunks - 1 + ahead_) / this->chunks + 1;
    Claims claims = this->claim_tokens(lead);
    for (int item = 0; item < ahead_; item++) {
      load(item, claims);
    }
    RouteInput input = this->router.load(claims.item(0));
    int item = 0;
    for (int number = 0; claims.item(number) < params.num_tokens; number++) {
      const int token = claims.item(number);
      claims.claim(number + lead);
      const RowTarget target = this->router.route(token, input);
      this->metadata.write(token, target, input);
      this->metadata.write_scales(this->router, token, target, input);
      input = this->router.load(claims.item(number + 1));
      for (int chunk = 0; chunk < this->chunks; chunk++, item++) {
        ptx::bulk_wait_sources_read();
        __syncwarp();
        load(item + ahead_, claims);
        move(item, chunk, target);
      }
    }
    this->router.finish();
    ptx::bulk_wait_complete();
  }

 private:
  __device__ char* stage(int item) const {
    return stages_ + item % params.shape.stages * params.shape.stage_bytes;
  }

  // If there is such an item. All lanes.
  __device__ void load(int item, const Claims& claims) {
    const int chunk = item % this->chunks;
    const int64_t token = claims.item(item / this->chunks);
    if (lane_index() != 0 || token >= params.num_tokens) {
      return;
    }
    uint64_t* barrier = &barriers_[item % params.shape.stages];
    ptx::barrier_expect(barrier, this->chunk_bytes(chunk));
    ptx::bulk_load(stage(item),
                   params.x + token * params.source_row_bytes + chunk * params.shape.chunk_bytes,
                   this->chunk_bytes(chunk), barrier);
  }

  __device__ void move(int item, int chunk, const RowTarget& target) {
    ptx::barrier_wait(&barriers_[item % params.shape.stages], item / params.shape.stages & 1);
    char* source = stage(item);
    int bytes = this->chunk_bytes(chunk);
    if constexpr (kCast) {
      cast_chunk(source, bytes, params.cast, scratch_,
                 [&](const LaneCodes& codes) { codes.store(source); });
      ptx::fence_proxy_shared();
      __syncwarp();
      this->put_cast_scales(target, chunk, scratch_);
      bytes /= 2;
    }
    char* place = this->place(target, chunk);
    if (place != nullptr) {
      ptx::bulk_store(place, source, bytes);
    }
    ptx::bulk_commit();
    __syncwarp();
  }

  const int ahead_;  // items that are loaded ahead
  uint64_t* barriers_;
  char* stages_;
  uint32_t* scratch_;
};
#endif

// Rows by 16-byte loads and stores, each loaded once into registers.
template <bool kCast>
class PlainRowSender : RowSenderBase<kCast> {
  using Base = RowSenderBase<kCast>;
  using Base::params;

 public:
  __device__ PlainRowSender(const SendParams& params, const Destination* destinations, bool sent,
                            char* shared)
      : Base(params, destinations, sent),
        scratch_(reinterpret_cast<uint32_t*>(shared + warp_index() * params.shape.cast_bytes)) {}

  __device__ void run() {
    constexpr int kLead = 2;  // tokens claimed ahead
    Claims claims = this->claim_tokens(kLead);
    RouteInput input = this->router.load(claims.item(0));
    for (int number = 0; claims.item(number) < params.num_tokens; number++) {
      const int token = claims.item(number);
      claims.claim(number + kLead);
      RowTarget target = this->router.route(token, input);
      this->metadata.write(token, target, input);
      this->metadata.write_scales(this->router, token, target, input);
      input = this->router.load(claims.item(number + 1));
      uint32_t lanes = __ballot_sync(kAllLanes, target.row >= 0);
      for (int chunk = 0; lanes != 0 && chunk < this->chunks; chunk++) {
        move(token, chunk, target, lanes);
      }
    }
    this->router.finish();
  }

 private:
  static constexpr int kVectors = 4;  // per lane in flight: 2 KiB of a row per warp

  __device__ void move(int token, int chunk, const RowTarget& target, uint32_t lanes) {
    const char* source =
        params.x + int64_t{token} * params.source_row_bytes + chunk * params.shape.chunk_bytes;
    const int bytes = this->chunk_bytes(chunk);
    const uint64_t place = reinterpret_cast<uint64_t>(this->place(target, chunk));
    if constexpr (kCast) {
      cast_chunk(source, bytes, params.cast, scratch_,
                 [&](const LaneCodes& codes) { codes.spread(place, lanes); });
      __syncwarp();
      this->put_cast_scales(target, chunk, scratch_);
      __syncwarp();
    } else {
      copy(source, bytes, place, lanes);
    }
  }

  __device__ void copy(const char* source, int bytes, uint64_t place, uint32_t lanes) const {
    constexpr int kStep = kWarpLanes * kVectorBytes;
    for (int first = lane_index() * kVectorBytes; first - lane_index() * kVectorBytes < bytes;
         first += kVectors * kStep) {
      uint4 vectors[kVectors];
#pragma unroll
      for (int i = 0; i < kVectors; i++) {
        if (first + i * kStep < bytes) {
          vectors[i] = *reinterpret_cast<const uint4*>(source + first + i * kStep);
        }
      }
      for_each_lane(lanes, [&](int lane) {
        char* to = reinterpret_cast<char*>(__shfl_sync(kAllLanes, place, lane));
#pragma unroll
        for (int i = 0; i < kVectors; i++) {
          if (first + i * kStep < bytes) {
            *reinterpret_cast<uint4*>(to + first + i * kStep) = vectors[i];
          }
        }
      });
    }
  }

  uint32_t* scratch_;
};

}  // namespace ep4j
