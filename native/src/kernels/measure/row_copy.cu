// Row copy: rows gathered in any order into consecutive places, and nothing else. How fast a number
// of multiprocessors can do that is the limit that dispatch and combine are measured against.
//
//   grid   as many blocks as multiprocessors are given; nobody waits for a peer
//   role           warps  does
//   bulk copier    all    its chunks through stages of shared memory, issued by one lane
//   plain copier   all    its chunks through registers, 16 bytes per lane (no bulk-copy engine)
//
// A row longer than a chunk moves in pieces. Invariant: a stage is loaded again only when the store
// that read it has read it.
#include "device/ptx/bulk.cuh"
#include "device/sync/warp.cuh"
#include "kernels/measure/measure.hpp"

namespace ep4j {
namespace {

constexpr int kThreads = 512;
constexpr int kVectors = 8;  // per lane in flight

// One piece of a row.
struct Piece {
  const char* from;
  char* to;
  int32_t bytes;
};

// The pieces of one warp: every (number of warps)th of all.
class Pieces {
 public:
  __device__ explicit Pieces(const RowCopyParams& params)
      : params_(params),
        per_row_(static_cast<int>(ceil_div(params.row_bytes, params.chunk_bytes))),
        first_(static_cast<int>(blockIdx.x) * params.warps + warp_index()),
        step_(static_cast<int>(gridDim.x) * params.warps) {}

  __device__ bool has(int item) const { return index(item) < int64_t{params_.num_rows} * per_row_; }

  __device__ Piece get(int item) const {
    const int64_t row = index(item) / per_row_;
    const int64_t offset = index(item) % per_row_ * params_.chunk_bytes;
    const int64_t left = params_.row_bytes - offset;
    return {params_.rows + int64_t{params_.order[row]} * params_.row_bytes + offset,
            params_.out + row * params_.row_bytes + offset,
            static_cast<int32_t>(left < params_.chunk_bytes ? left : params_.chunk_bytes)};
  }

 private:
  __device__ int64_t index(int item) const { return first_ + int64_t{item} * step_; }

  const RowCopyParams& params_;
  const int per_row_;
  const int first_;
  const int step_;
};

#if EP4J_HAS_BULK_COPY
constexpr int kCopyStages = 8;

__device__ void copy_by_bulk(const RowCopyParams& params, char* stages, uint64_t* barriers) {
  const Pieces pieces(params);
  auto load = [&](int item) {
    if (pieces.has(item)) {
      const int stage = item % params.stages;
      const Piece piece = pieces.get(item);
      ptx::barrier_expect(&barriers[stage], static_cast<uint32_t>(piece.bytes));
      ptx::bulk_load(stages + stage * params.stage_bytes, piece.from,
                     static_cast<uint32_t>(piece.bytes), &barriers[stage]);
    }
  };
  for (int stage = 0; stage < params.stages; stage++) {
    ptx::barrier_init(&barriers[stage], 1);
  }
  ptx::fence_barrier_init();
  ptx::fence_proxy_shared();
  for (int item = 0; item < params.stages - 1; item++) {
    load(item);
  }
  for (int item = 0; pieces.has(item); item++) {
    ptx::bulk_wait_sources_read();
    load(item + params.stages - 1);
    const int stage = item % params.stages;
    const Piece piece = pieces.get(item);
    ptx::barrier_wait(&barriers[stage], static_cast<uint32_t>(item / params.stages & 1));
    ptx::bulk_store(piece.to, stages + stage * params.stage_bytes,
                    static_cast<uint32_t>(piece.bytes));
    ptx::bulk_commit();
  }
  ptx::bulk_wait_complete();
}
#endif

__device__ void copy_by_registers(const RowCopyParams& params) {
  const Pieces pieces(params);
  for (int item = 0; pieces.has(item); item++) {
    const Piece piece = pieces.get(item);
    const uint4* from = reinterpret_cast<const uint4*>(piece.from);
    uint4* to = reinterpret_cast<uint4*>(piece.to);
    const int count = piece.bytes / static_cast<int>(sizeof(uint4));
    for (int i = lane_index(); i < count; i += kVectors * kWarpLanes) {
      uint4 vectors[kVectors];
#pragma unroll
      for (int v = 0; v < kVectors; v++) {
        if (i + v * kWarpLanes < count) {
          vectors[v] = from[i + v * kWarpLanes];
        }
      }
#pragma unroll
      for (int v = 0; v < kVectors; v++) {
        if (i + v * kWarpLanes < count) {
          to[i + v * kWarpLanes] = vectors[v];
        }
      }
    }
  }
}

template <bool kBulk>
__global__ void __launch_bounds__(kThreads, 1)
    row_copy_kernel(const __grid_constant__ RowCopyParams params) {
  if constexpr (!kBulk) {
    copy_by_registers(params);
  } else {
#if EP4J_HAS_BULK_COPY
    extern __shared__ __align__(128) char shared[];
    __shared__ uint64_t barriers[kThreads / kWarpLanes * kCopyStages];
    if (lane_index() == 0) {
      copy_by_bulk(params, shared + warp_index() * params.stages * params.stage_bytes,
                   barriers + warp_index() * kCopyStages);
    }
#endif
  }
}

}  // namespace

cudaError_t prepare_row_copy(int shared_limit, bool bulk) {
  return cudaFuncSetAttribute(bulk ? row_copy_kernel<true> : row_copy_kernel<false>,
                              cudaFuncAttributeMaxDynamicSharedMemorySize,
                              bulk ? shared_limit : 0);
}

cudaError_t launch_row_copy(const RowCopyParams& params, bool bulk, int num_blocks,
                            cudaStream_t stream) {
  auto kernel = bulk ? row_copy_kernel<true> : row_copy_kernel<false>;
  kernel<<<num_blocks, params.warps * kWarpLanes, params.shared_bytes, stream>>>(params);
  return cudaGetLastError();
}

}  // namespace ep4j
