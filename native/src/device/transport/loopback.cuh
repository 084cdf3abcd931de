// A network for ranks that are threads of one process: puts wait in a queue of their rank, and a few
// warps of the same launch do them, by loads and stores.
//
//   asker    any warp: takes a number, waits for its place in the queue, leaves the put there
//   worker   warp w of W: does the puts whose number is w modulo W, until all askers have finished
//
// With a seed a worker chooses among the puts that are ready and lets some wait, so that they arrive
// in any order, as over a network: data before its own signal, nothing else.
//
// Invariant: workers wait for nobody but askers of their own launch, so every put is done. A put is
// complete when its launch ends.
//
// Where nothing else would be done meanwhile, the warp that asks does the put itself, and lays its
// bytes at their target in the first place.
//
// A put to a rank that only a network reaches goes there at once, by the warp that asks, and is
// complete when its receiver has answered.
#pragma once

#include "device/ptx/memory.cuh"
#include "device/sync/warp.cuh"
#include "device/transport/fabric.cuh"
#include "layout/fabric_layout.hpp"
#include "layout/rank_view.hpp"

namespace ep4j {

class LoopbackFabric {
 public:
  __device__ LoopbackFabric(const RankView& view, FabricState& state, PutSlot* slots)
      : view_(view), state_(state), slots_(slots), launch_(state.launches + 1) {}

  // Asks for a put, after the warp's stores to its source. All lanes of a warp.
  __device__ void put(const Put& put) const {
    __syncwarp();
    if (is_far(put.peer)) {
      put_far(put);
      return;
    }
    if (lane_index() == 0) {
      const uint32_t number = atomicAdd(&state_.queued, 1u);
      PutSlot& slot = slots_[number % kFabricSlots];
      while (number >= kFabricSlots &&
             ptx::load_acquire_device(&slot.done) != tag(number - kFabricSlots)) {
      }
      slot.put = put;
      ptx::store_release_device(&slot.ready, tag(number));
    }
    __syncwarp();
  }

  // Where a warp lays the bytes of a put that it does itself: at their target, if that is within reach;
  // else at their source.
  __device__ char* place(const Put& put) const {
    return is_far(put.peer) ? view_.own<char>(put.source) : view_.at<char>(put.peer, put.target);
  }

  // Does a put itself, after the warp's stores to its place. All lanes of a warp.
  __device__ void put_at_once(const Put& put) const {
    __syncwarp();
    if (is_far(put.peer)) {
      put_far(put);
      return;
    }
    if (lane_index() == 0) {
      ptx::store_release_system(view_.at<uint64_t>(put.peer, put.signal), put.value);
    }
    __syncwarp();
  }

  // Sets a peer's word itself, after the warp's loads. All lanes of a warp.
  __device__ void set_at_once(const Put& put) const {
    __syncwarp();
    if (lane_index() == 0) {
      transport::publish(view_, put.peer, transport::word_at(view_, put.peer, put.signal), put.value);
    }
    __syncwarp();
  }

  // This warp asks for no more. All lanes, once per asking warp.
  __device__ void finish_asking() const {
    __syncwarp();
    if (lane_index() == 0) {
      ptx::add_acq_rel_device(&state_.producers_done, 1);
    }
  }

  // Does puts until all askers have finished. All lanes of a warp.
  __device__ void work(uint32_t worker, uint32_t workers, uint32_t askers, uint64_t seed) const {
    uint32_t first = worker;  // of the window: lane l looks at put first + l * workers
    uint32_t done = 0;
    for (uint64_t turn = 0;; turn++) {
      const uint32_t number = first + lane_index() * workers;
      const PutSlot& slot = slots_[number % kFabricSlots];
      const bool ready = (done >> lane_index() & 1) == 0 &&
                         ptx::load_acquire_device(&slot.ready) == tag(number);
      const uint32_t choices = __ballot_sync(kAllLanes, ready);
      if (choices == 0) {
        if (is_over(first, askers)) {
          return;
        }
        continue;
      }
      const Put put = ready ? slot.put : Put{};
      const uint32_t chosen = choose(choices, worker, turn, seed);
      execute(put, number, chosen);
      done |= chosen;
      while ((done & 1) != 0) {
        done >>= 1;
        first += workers;
      }
    }
  }

  // The launch ends. One thread, after every warp of the grid.
  __device__ void end_launch() const {
    state_.launches = launch_;
    state_.queued = 0;
    state_.producers_done = 0;
  }

 private:
  static constexpr int kBatch = 4;  // puts that one fence is for

  __device__ bool is_far(int peer) const {
    return transport::kHasRemotePeers && !transport::reaches(view_, peer);
  }

  __device__ void put_far(const Put& put) const {
    if constexpr (transport::kHasRemotePeers) {
      uint64_t* word = view_.own<uint64_t>(put.signal);
      if (put.bytes > 0) {
        transport::put_row_and_set(view_.own<char>(put.target), view_.own<char>(put.source),
                                   put.bytes, word, put.value, put.peer);
      } else if (lane_index() == 0) {
        transport::set(word, put.value, put.peer);
      }
      __syncwarp();
    }
  }

  __device__ uint64_t tag(uint32_t number) const { return launch_ << 32 | (number + 1); }

  // Whether no put of the window will ever be asked for. All lanes.
  __device__ bool is_over(uint32_t first, uint32_t askers) const {
    bool over = false;
    if (lane_index() == 0) {
      over = ptx::add_acq_rel_device(&state_.producers_done, 0) == askers &&
             first >= atomicAdd(&state_.queued, 0u);
    }
    return __any_sync(kAllLanes, over);
  }

  // Which of the puts that are ready to do next: a few at once; with a seed any single one, and now
  // and then only after a while.
  __device__ uint32_t choose(uint32_t choices, uint32_t worker, uint64_t turn,
                             uint64_t seed) const {
    if (seed == 0) {
      uint32_t rest = choices;
      for (int i = 0; i < kBatch; i++) {
        rest &= rest - 1;
      }
      return choices & ~rest;
    }
    uint64_t draw = (seed + worker + (launch_ << 32)) * 0x9E3779B97F4A7C15u + turn;
    draw = (draw ^ draw >> 30) * 0xBF58476D1CE4E5B9u;
    draw ^= draw >> 27;
    if (draw % 8 == 0) {
      const uint64_t begin = ptx::global_nanos();
      while (ptx::global_nanos() - begin < draw / 8 % 20'000) {
      }
      __syncwarp();
    }
    const uint32_t skipped = static_cast<uint32_t>(draw >> 32) % __popc(choices);
    for (uint32_t i = 0; i < skipped; i++) {
      choices &= choices - 1;
    }
    return choices & (~choices + 1);
  }

  // The puts of some lanes, with one fence for all.
  __device__ void execute(const Put& put, uint32_t number, uint32_t lanes) const {
    for_each_lane(lanes, [&](int lane) {
      const int bytes = __shfl_sync(kAllLanes, put.bytes, lane);
      char* from = view_.own<char>(__shfl_sync(kAllLanes, put.source, lane));
      char* to = view_.at<char>(__shfl_sync(kAllLanes, put.peer, lane),
                                __shfl_sync(kAllLanes, put.target, lane));
      copy(from, to, bytes);
      __syncwarp();
      discard(from, bytes);
    });
    __syncwarp();
    if ((lanes >> lane_index() & 1) != 0) {
      ptx::fence_system();
      ptx::store_relaxed_system(view_.at<uint64_t>(put.peer, put.signal), put.value);
      ptx::store_relaxed_system(&slots_[number % kFabricSlots].done, tag(number));
    }
    __syncwarp();
  }

  __device__ static void copy(const char* from, char* to, int bytes) {
    constexpr int kVectors = 16;  // of a lane on their way, as registers allow
    constexpr int kStep = kWarpLanes * kVectorBytes;
    const int own = lane_index() * kVectorBytes;
    for (int first = 0; first < bytes; first += kVectors * kStep) {
      uint4 vectors[kVectors];
#pragma unroll
      for (int i = 0; i < kVectors; i++) {
        const int place = first + i * kStep + own;
        if (place < bytes) {
          vectors[i] = *reinterpret_cast<const uint4*>(from + place);
        }
      }
#pragma unroll
      for (int i = 0; i < kVectors; i++) {
        const int place = first + i * kStep + own;
        if (place < bytes) {
          *reinterpret_cast<uint4*>(to + place) = vectors[i];
        }
      }
    }
  }

  const RankView& view_;
  FabricState& state_;
  PutSlot* slots_;
  const uint64_t launch_;
};

}  // namespace ep4j
