// The messages between ranks and from a device to its host, as they lie in memory.
//
// Every message has one writer. Its tag is stored last, with release; a reader loads the tag with
// acquire and then the rest. Tags are epochs, which only grow, so nothing is ever zeroed.
// docs/memory-model.md lists each pair of publish and await.
#pragma once

#include "layout/limits.hpp"

namespace ep4j {

// What must agree between the ranks of one call.
struct CallWords {
  uint64_t head;    // operation, order, bounded, dtype, cast, index bytes, weights, weighted
  uint64_t sizes;   // row bytes, scale words
  uint64_t shape;   // K, alignment
  uint64_t handle;  // epoch of the dispatch whose routing is used, 0 for none

  EP4J_HOST_DEVICE bool operator==(const CallWords& other) const {
    return head == other.head && sizes == other.sizes && shape == other.shape &&
           handle == other.handle;
  }
};

// "I have entered this call."
struct CallMessage {
  uint64_t tag;
  CallWords words;
};

// Why a routing is refused; rule is an ep4j_routing_rule.
struct Refusal {
  int32_t rule;
  int32_t token;
  int64_t value;
};

// "I have this many rows for you." Followed, at kCountsPerExpert, by the choices of each of the
// destination's experts, int32 [local experts].
struct CountsMessage {
  uint64_t tag;
  Refusal refusal;
  int64_t rows;
  int32_t node_rows;  // that any rank of the destination's node gets: messages, if over a network
};
constexpr int64_t kCountsPerExpert = kLineBytes;

// "Write your rows there", or why not; verdict is an ep4j_verdict. Followed, at kGrantExpertBase,
// by the source's first row in each group, int32 [local experts], in expert-major order.
struct GrantMessage {
  uint64_t tag;
  int32_t verdict;
  int32_t region;
  int64_t region_offset;  // in the destination's window
  int64_t capacity_rows;  // of the region's layout
  int64_t base;           // rank-major: the source's first row
  int64_t needed;         // on overflow
  int64_t capacity;       // on overflow
  Refusal refusal;        // on refusal
  int32_t origin;         // rank whose routing is refused
};
constexpr int64_t kGrantExpertBase = kLineBytes;

// "My expert outputs may be read, there in my window."
struct ReadyMessage {
  uint64_t tag;
  int64_t x_offset;
  int64_t weights_offset;
  int32_t returns;  // sums that the writer will send the reader over a network
};

// The word that says a source's rows are at their place: epoch and ep4j_verdict in one store.
struct Arrival {
  static constexpr int kStatusBits = 8;

  EP4J_HOST_DEVICE static constexpr uint64_t word(uint64_t epoch, int32_t verdict) {
    return epoch << kStatusBits | static_cast<uint64_t>(verdict);
  }
  EP4J_HOST_DEVICE static constexpr uint64_t epoch(uint64_t word) { return word >> kStatusBits; }
  EP4J_HOST_DEVICE static constexpr int32_t verdict(uint64_t word) {
    return static_cast<int32_t>(word & ((1u << kStatusBits) - 1));
  }
};

// "I gave up": what ended the writer's part. Whoever gives up because of it passes it on unchanged,
// so that every rank names the same culprit, and of a mismatch both calls. The tag counts the
// writer's failures; a reader that has pardoned one in an unmask waits for a larger tag.
struct FailureMessage {
  uint64_t tag;     // 0 while all is well
  int32_t fault;    // ep4j_fault, as the origin saw it
  int32_t stage;    // ep4j_stage, of the origin
  int32_t culprit;  // rank
  int32_t origin;   // rank that saw it first
  uint64_t epoch;   // that the origin waited for; of a mismatch, of its call
  uint64_t seen;
  CallWords origin_call;  // of a mismatch
  CallWords culprit_call;
};

// What a counted dispatch tells its host, in pinned memory. Followed, at kHostCountsPerExpert, by
// int32 [local experts].
struct HostCounts {
  uint64_t ticket;  // the tag
  int32_t verdict;
  int32_t num_received;
  int32_t origin;
  Refusal refusal;
  int64_t needed;
  int64_t capacity;
};
constexpr int64_t kHostCountsPerExpert = kLineBytes;

// What a layout call tells its host about the routing, in pinned memory.
struct LayoutReport {
  uint64_t ticket;  // the tag
  Refusal refusal;
};

// What went to and came from a peer since the buffer was made.
struct PeerTraffic {
  uint64_t rows_sent;
  uint64_t bytes_sent;  // x and scales
  uint64_t rows_received;
  uint64_t rows_combined;
  uint64_t wait_nanos;
};

// Payload over the network between this rank and a node since the buffer was made.
struct NodeTraffic {
  uint64_t rows_sent;
  uint64_t bytes_sent;  // x and scales
  uint64_t rows_combined;
  uint64_t bytes_combined;  // x
};

// A rank's standing, told to its host on request, in pinned memory.
struct StandingRecord {
  uint64_t tick;  // the tag: of the request
  uint64_t epoch;
  uint64_t dispatches;
  uint64_t low_latency_dispatches;
  uint32_t failed;     // ep4j_fault, 0 for none
  uint32_t masked_by;  // bit p: peer p has masked this rank, and is not masked here
  uint32_t left;       // bit p: peer p has left because somebody masked it
  uint64_t mask_tags[kMaxRanks];
  uint64_t failure_tags[kMaxRanks];
  uint32_t late[kMaxRegions];  // bit p: peer p may still write to the region
  PeerTraffic traffic[kMaxRanks];
  PeerTraffic low_latency_traffic[kMaxRanks];
};

// The first fault of a device, in pinned memory. state goes 0 (empty) -> 1 (being written) ->
// 2 (complete); the host sets it back to 0.
struct FaultRecord {
  uint32_t state;
  int32_t fault;
  int32_t stage;
  int32_t peer;
  int32_t origin;
  int32_t region;
  uint64_t expected;
  uint64_t seen;
  Refusal refusal;
  int64_t needed;
  int64_t capacity;
  CallWords origin_call;
  CallWords peer_call;
};

static_assert(sizeof(CallMessage) <= kLineBytes);
static_assert(sizeof(CountsMessage) <= kCountsPerExpert);
static_assert(sizeof(GrantMessage) <= kGrantExpertBase);
static_assert(sizeof(ReadyMessage) <= kLineBytes);
static_assert(sizeof(FailureMessage) <= kLineBytes);
static_assert(sizeof(HostCounts) <= kHostCountsPerExpert);

}  // namespace ep4j
