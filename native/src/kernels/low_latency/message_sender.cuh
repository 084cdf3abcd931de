// Sends messages: a block's share of the tokens, one after the other, each put together once in
// shared memory and copied from there to a slot at every expert.
//
// A choice's ordinal is its place among this rank's rows for the expert, in token order. The block
// counts the choices of all tokens before its own and goes on from there, so no block waits for
// another. The last block ends with the counts of all tokens, which it tells to the destinations.
//
// Invariants: a message is put together in a stage only after the copies from that stage have read
// it; a slot is written only at destinations whose inbox is empty.
#pragma once

#include "device/numeric/fp8_cast.cuh"
#include "device/ptx/bulk.cuh"
#include "kernels/low_latency/dispatch_storage.cuh"

namespace ep4j {

// Choices as they are stored; what breaks a rule is told apart here, on its way to 32 bits.
class Choices {
 public:
  static constexpr int32_t kOutOfRange = -2;

  __device__ explicit Choices(const LowLatencyDispatchParams& params)
      : params_(params), num_experts_(params.view.rank.num_experts()) {}

  __device__ int32_t at(int64_t place) const {
    const int64_t choice = params_.index_bytes == 8
                               ? static_cast<const int64_t*>(params_.topk_idx)[place]
                               : static_cast<const int32_t*>(params_.topk_idx)[place];
    return choice < -1 || choice >= num_experts_ ? kOutOfRange : static_cast<int32_t>(choice);
  }

  // The choice of this lane for a token; -1 for lanes without one.
  __device__ int32_t of_token(int token) const {
    const bool there = lane_index() < params_.num_topk && token < params_.num_tokens;
    return there ? at(int64_t{token} * params_.num_topk + lane_index()) : -1;
  }

  __device__ int num_experts() const { return num_experts_; }

 private:
  const LowLatencyDispatchParams& params_;
  const int num_experts_;
};

template <bool kBulk>
class MessageSender {
 public:
  __device__ MessageSender(const LowLatencyDispatchParams& params, DispatchStorage& shared,
                           char* memory)
      : params_(params),
        shared_(shared),
        choices_(params),
        counts_(reinterpret_cast<int32_t*>(memory)),
        stages_(memory + params.shape.table_bytes),
        begin_(share_begin(static_cast<int>(blockIdx.x))),
        end_(share_begin(static_cast<int>(blockIdx.x) + 1)) {}

  // await_open says, in one warp, which destinations rows may go to.
  template <class AwaitOpen>
  __device__ void run(AwaitOpen await_open) {
    const bool tells_counts = blockIdx.x == gridDim.x - 1;
    if (begin_ == end_ && !tells_counts) {
      return;
    }
    load_vectors(begin_, 0);
    chosen_ = warp_index() == 0 ? choices_.of_token(begin_) : -1;
    if (warp_index() == kLowLatencyWarps - 1) {  // while the others load choices
      const uint32_t open = await_open();
      if (lane_index() == 0) {
        shared_.open = open;
      }
    }
    count_choices_before(begin_);
    for (int token = begin_; token < end_; token++) {
      send(token);
    }
    if constexpr (kBulk) {
      if (warp_index() == 0) {
        ptx::bulk_wait_complete();
      }
    }
    if (tells_counts) {
      __syncthreads();
      tell_counts();
    }
  }

 private:
  static constexpr int kBatch = 2;  // vectors of a row in flight per thread

  __device__ int share_begin(int block) const {
    return static_cast<int>(int64_t{params_.num_tokens} * block / static_cast<int>(gridDim.x));
  }

  // Leaves the number of choices of each expert by the tokens before end. All threads.
  __device__ void count_choices_before(int end) const {
    constexpr int kLoads = 4;  // in flight
    for (int i = static_cast<int>(threadIdx.x); i < choices_.num_experts();
         i += kLowLatencyThreads) {
      counts_[i] = 0;
    }
    __syncthreads();
    const int64_t total = int64_t{end} * params_.num_topk;
    for (int64_t first = threadIdx.x; first < total; first += kLoads * kLowLatencyThreads) {
      int32_t chosen[kLoads];
#pragma unroll
      for (int i = 0; i < kLoads; i++) {
        const int64_t place = first + i * kLowLatencyThreads;
        chosen[i] = place < total ? choices_.at(place) : -1;
      }
#pragma unroll
      for (int i = 0; i < kLoads; i++) {
        if (chosen[i] >= 0) {
          atomicAdd(&counts_[chosen[i]], 1);
        }
      }
    }
    __syncthreads();
  }

  __device__ void send(int token) {
    const int turn = (token - begin_) & 1;
    char* message = stages_ + turn * params_.shape.stage_bytes;
    char* slot = nullptr;
    if (warp_index() == 0) {
      if constexpr (kBulk) {
        ptx::bulk_wait_earlier_sources_read();
      }
      slot = route(token, turn);
      if constexpr (!kBulk) {
        shared_.targets[turn][lane_index()] = slot;
      }
    }
    __syncthreads();  // the stage is free
    put_together(token, message);
    if constexpr (kBulk) {
      ptx::fence_proxy_shared();
    }
    __syncthreads();
    if constexpr (kBulk) {
      if (warp_index() == 0) {
        if (slot != nullptr) {
          ptx::bulk_store(slot, message, params_.form.bytes());
        }
        ptx::bulk_commit();
      }
    } else {
      copy(message, shared_.targets[turn]);
    }
    shared_.network.put(params_, shared_.inbox, token, turn, message);
    load_vectors(token + 1, 0);
  }

  // Keeps the token's choices for combine and says where this lane's message is to be stored. Warp
  // 0.
  __device__ char* route(int token, int turn) {
    const LowLatencyView& view = params_.view;
    const int lane = lane_index();
    const int32_t expert = chosen_;
    chosen_ = choices_.of_token(token + 1);
    check_choice(token, expert);
    const int32_t ordinal = expert >= 0 ? counts_[expert] : -1;
    __syncwarp();
    if (expert >= 0) {
      counts_[expert] = ordinal + 1;
    }
    __syncwarp();
    if (lane < params_.num_topk) {
      const int64_t place = int64_t{token} * params_.num_topk + lane;
      view.experts[place] = expert;
      view.ordinals[place] = ordinal;
    }
    const int peer = expert / view.rank.local_experts;
    // A token that names an expert twice may run past the last slot; it is refused.
    const bool there =
        expert >= 0 && ordinal < view.layout.max_tokens && (shared_.open >> peer & 1) != 0;
    const int64_t slot =
        there ? view.layout.slot(shared_.inbox, expert % view.rank.local_experts, view.rank.rank,
                                 ordinal)
              : 0;
    const bool is_far = shared_.network.take(view, shared_.inbox, turn, peer, slot, there);
    return there && !is_far ? view.at<char>(peer, slot) : nullptr;
  }

  // Warp 0. Leaves the first choice that breaks a rule.
  __device__ void check_choice(int token, int32_t expert) const {
    const uint32_t same = __match_any_sync(kAllLanes, expert);
    const bool twice = expert >= 0 && (same & ((1u << lane_index()) - 1)) != 0;
    if (twice || expert == Choices::kOutOfRange) {
      const int64_t place = int64_t{token} * params_.num_topk + lane_index();
      const int32_t rule = twice ? EP4J_ROUTING_TWICE : EP4J_ROUTING_OUT_OF_RANGE;
      atomicMin(reinterpret_cast<unsigned long long*>(&params_.view.state->bad_choice),
                static_cast<unsigned long long>(BadChoice::word(place, rule)));
    }
  }

  __device__ int num_vectors() const { return params_.source_row_bytes / kVectorBytes; }

  // Loads this thread's vectors of a row, from the first-th vector on; zeros past the end.
  __device__ void load_vectors(int token, int first) {
    const char* row = params_.x + int64_t{token} * params_.source_row_bytes;
#pragma unroll
    for (int i = 0; i < kBatch; i++) {
      const int vector = first + i * kLowLatencyThreads + static_cast<int>(threadIdx.x);
      const bool there = token < end_ && vector < num_vectors();
      vectors_[i] = there ? *reinterpret_cast<const uint4*>(row + int64_t{vector} * kVectorBytes)
                          : uint4{0, 0, 0, 0};
    }
  }

  // All threads; the first vectors are loaded.
  __device__ void put_together(int token, char* message) {
    for (int first = 0; first < num_vectors(); first += kBatch * kLowLatencyThreads) {
      if (first > 0) {
        load_vectors(token, first);
      }
#pragma unroll
      for (int i = 0; i < kBatch; i++) {
        const int of_warp = first + i * kLowLatencyThreads + warp_index() * kWarpLanes;
        if (of_warp < num_vectors()) {
          put_vector(message, of_warp + lane_index(), vectors_[i]);
        }
      }
    }
    if (threadIdx.x == 0) {
      *reinterpret_cast<int32_t*>(message + params_.form.token()) = token;
    }
    if (params_.cast == EP4J_CAST_UE8M0) {
      const int unused = source_groups() + static_cast<int>(threadIdx.x);
      if (unused < 4 * params_.form.scale_words) {
        message[params_.form.scales() + unused] = 0;
      }
    }
  }

  __device__ int source_groups() const { return params_.source_row_bytes / kSourceGroupBytes; }

  // All lanes of a warp.
  __device__ void put_vector(char* message, int vector, const uint4& value) const {
    const bool there = vector < num_vectors();
    if (params_.cast == EP4J_CAST_NONE) {
      if (there) {
        *reinterpret_cast<uint4*>(message + vector * kVectorBytes) = value;
      }
      return;
    }
    uint2 codes[1];
    const uint32_t scale_bits = cast_vectors<1>({value}, params_.cast, codes);
    if (!there) {
      return;
    }
    *reinterpret_cast<uint2*>(message + vector * (kVectorBytes / 2)) = codes[0];
    if (lane_index() % kGroupVectors == 0) {
      const int group = vector / kGroupVectors;
      char* scales = message + params_.form.scales();
      if (params_.cast == EP4J_CAST_UE8M0) {
        scales[group] = static_cast<char>(scale_bits >> kFloatFractionBits);
      } else {
        reinterpret_cast<uint32_t*>(scales)[group] = scale_bits;
      }
    }
  }

  // All threads.
  __device__ void copy(const char* message, char* const* slots) const {
    for (int k = 0; k < params_.num_topk; k++) {
      char* slot = slots[k];
      for (int i = static_cast<int>(threadIdx.x) * kVectorBytes;
           slot != nullptr && i < params_.form.bytes(); i += kLowLatencyThreads * kVectorBytes) {
        *reinterpret_cast<uint4*>(slot + i) = *reinterpret_cast<const uint4*>(message + i);
      }
    }
  }

  // The counts of all tokens, to each destination its part. All threads of the last block.
  __device__ void tell_counts() const {
    const LowLatencyView& view = params_.view;
    for (int i = static_cast<int>(threadIdx.x); i < choices_.num_experts();
         i += kLowLatencyThreads) {
      const int peer = i / view.rank.local_experts;
      if ((shared_.open >> peer & 1) != 0) {
        landed_for(view, shared_.inbox, peer)
            .template tail<int32_t>(kLandedCounts)[i % view.rank.local_experts] = counts_[i];
      }
    }
    if (warp_index() == kLowLatencyWarps - 1) {
      add_to_traffic();
    }
  }

  // Lane p: what this call sends to rank p. Nobody waits for these words before the kernel's end.
  __device__ void add_to_traffic() const {
    const LowLatencyView& view = params_.view;
    const int peer = lane_index();
    if (peer >= view.rank.num_ranks) {
      return;
    }
    int32_t rows = 0;
    for (int i = 0; i < view.rank.local_experts && (shared_.open >> peer & 1) != 0; i++) {
      rows += counts_[peer * view.rank.local_experts + i];
    }
    view.state->sent_rows[params_.region][peer] = rows;
    PeerTraffic& traffic = view.rank.state->low_latency_traffic[peer];
    const int bytes = params_.form.row_bytes + 4 * params_.form.scale_words;
    add_word(traffic.rows_sent, static_cast<uint64_t>(rows));
    add_word(traffic.bytes_sent, static_cast<uint64_t>(rows) * static_cast<uint64_t>(bytes));
  }

  const LowLatencyDispatchParams& params_;
  DispatchStorage& shared_;
  const Choices choices_;
  int32_t* counts_;
  char* stages_;
  const int begin_;
  const int end_;
  uint4 vectors_[kBatch];
  int32_t chosen_;  // warp 0: this lane's choice of the next token
};

}  // namespace ep4j
