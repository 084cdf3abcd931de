// The routing record of one dispatch in device memory: where this rank's rows went and what it
// received. Combine and cached dispatch read it.
//
//   id             [1] uint64   epoch of the dispatch: its name among the ranks
//   num_received   [1] int32    padding included
//   rows           [T, n] rank-major, [T, K] expert-major: row at the destination, -1 for none
//   experts        [T, K] int32, expert-major: expert of each choice, -1 for none
//   weights        [T, K] float32, expert-major: gate weights, where the dispatch had them
//   source_begin   [n, groups] int32: a source's first row; one group rank-major, else per expert
//   source_count   [n, groups] int32: its rows there
//   expert_offsets [local experts + 1] int32, expert-major
//   sent_rows      [n] int32: rows that go to each rank
//   received_rows  [n] int32: rows that come from each rank
#pragma once

#include "layout/limits.hpp"

namespace ep4j {

struct HandleLayout {
  int max_tokens;
  int max_topk;
  int num_ranks;
  int local_experts;

  EP4J_HOST_DEVICE constexpr int64_t id() const { return 0; }
  EP4J_HOST_DEVICE constexpr int64_t num_received() const { return 8; }
  EP4J_HOST_DEVICE constexpr int64_t rows() const { return kLineBytes; }
  EP4J_HOST_DEVICE constexpr int64_t experts() const {
    return rows() + lines(4 * int64_t{max_tokens} * fanout());
  }
  EP4J_HOST_DEVICE constexpr int64_t weights() const { return experts() + per_choice(); }
  EP4J_HOST_DEVICE constexpr int64_t source_begin() const { return weights() + per_choice(); }
  EP4J_HOST_DEVICE constexpr int64_t source_count() const { return source_begin() + per_source(); }
  EP4J_HOST_DEVICE constexpr int64_t expert_offsets() const {
    return source_count() + per_source();
  }
  EP4J_HOST_DEVICE constexpr int64_t sent_rows() const {
    return expert_offsets() + lines(4 * (int64_t{local_experts} + 1));
  }
  EP4J_HOST_DEVICE constexpr int64_t received_rows() const {
    return sent_rows() + lines(4 * int64_t{num_ranks});
  }
  EP4J_HOST_DEVICE constexpr int64_t bytes() const {
    return received_rows() + lines(4 * int64_t{num_ranks});
  }

 private:
  EP4J_HOST_DEVICE constexpr int fanout() const {
    return num_ranks > max_topk ? num_ranks : max_topk;
  }
  EP4J_HOST_DEVICE constexpr int64_t per_choice() const {
    return lines(4 * int64_t{max_tokens} * max_topk);
  }
  EP4J_HOST_DEVICE constexpr int64_t per_source() const {
    return lines(4 * int64_t{num_ranks} * local_experts);
  }
};

// One handle's fields.
struct HandleView {
  uint64_t* id;
  int32_t* num_received;
  int32_t* rows;
  int32_t* experts;
  float* weights;
  int32_t* source_begin;
  int32_t* source_count;
  int32_t* expert_offsets;
  int32_t* sent_rows;
  int32_t* received_rows;

  HandleView() = default;
  HandleView(char* base, const HandleLayout& layout)
      : id(reinterpret_cast<uint64_t*>(base + layout.id())),
        num_received(reinterpret_cast<int32_t*>(base + layout.num_received())),
        rows(reinterpret_cast<int32_t*>(base + layout.rows())),
        experts(reinterpret_cast<int32_t*>(base + layout.experts())),
        weights(reinterpret_cast<float*>(base + layout.weights())),
        source_begin(reinterpret_cast<int32_t*>(base + layout.source_begin())),
        source_count(reinterpret_cast<int32_t*>(base + layout.source_count())),
        expert_offsets(reinterpret_cast<int32_t*>(base + layout.expert_offsets())),
        sent_rows(reinterpret_cast<int32_t*>(base + layout.sent_rows())),
        received_rows(reinterpret_cast<int32_t*>(base + layout.received_rows())) {}
};

}  // namespace ep4j
