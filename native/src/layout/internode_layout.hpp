// The part of a rank's window that is for other nodes. Offsets count from its own beginning; tables
// per other node have Topology::remotes() entries.
//
//   signals   [remotes][staging_rows] word: message m is in place m % staging_rows
//   credits   [remotes][staging_rows] word: the place of this rank's message m may be filled again
//   returned  [outputs][remotes][max_tokens] epoch: the node's sum for message m is here
//   dropped   [remotes] Arrival: the source of the node sends nothing in this call
//   incoming  [remotes][staging_rows] messages, as the fabric brings them
//   outgoing  [remotes][max_tokens] messages and sums, from which the fabric takes them
//   sums      [outputs][remotes][max_tokens] sums, as the fabric brings them
//   returning [outputs][remotes][max_tokens] sums, from which a network takes them; only with one
//
// A message is a token's row with what is known about it, for all ranks of one node; messages to a
// node are numbered in token order. It comes from the same local rank of its node. outgoing has a
// place for every message, so that a sender only waits for places at the other end; sums has too, so
// that nobody who sums waits for who receives. Puts of the loopback are complete when their launch
// ends, so sums may lie in outgoing; those of a network only when the output that they were made for
// is read, so they have places of their own.
#pragma once

#include "layout/messages.hpp"
#include "layout/topology.hpp"

namespace ep4j {

// One message as a call sends it. Header lines have an entry per lane.
//   token   int32
//   rows    [32] int32  rank-major: row at local rank i of the node; expert-major: row of choice k
//   experts [32] int32  choices of the token, -1 for none
//   weights [32] float32
//   scales  [scale_words] 4-byte words
//   x       row_bytes
struct NodeMessage {
  int32_t row_bytes;
  int32_t scale_words;

  EP4J_HOST_DEVICE static constexpr int64_t token() { return 0; }
  EP4J_HOST_DEVICE static constexpr int64_t rows() { return kLineBytes; }
  EP4J_HOST_DEVICE static constexpr int64_t experts() { return 2 * kLineBytes; }
  EP4J_HOST_DEVICE static constexpr int64_t weights() { return 3 * kLineBytes; }
  EP4J_HOST_DEVICE static constexpr int64_t scales() { return 4 * kLineBytes; }
  EP4J_HOST_DEVICE constexpr int64_t x() const {
    return scales() + lines(4 * int64_t{scale_words});
  }
  EP4J_HOST_DEVICE constexpr int64_t bytes() const { return x() + row_bytes; }
};

// A node's sum of one token: [32] float32 weights, one line, then x.
struct NodeSumRow {
  EP4J_HOST_DEVICE static constexpr int64_t weights() { return 0; }
  EP4J_HOST_DEVICE static constexpr int64_t x() { return kLineBytes; }
};
static_assert(kMaxTopk * 4 <= kLineBytes && kWarpLanes * 4 <= kLineBytes);

// Names a message among all of a pair of ranks: of one epoch after the other, in order.
struct MessageTag {
  static constexpr int kMessageBits = 24;
  static constexpr int64_t kMostMessages = (int64_t{1} << kMessageBits) - 1;

  EP4J_HOST_DEVICE static constexpr uint64_t word(uint64_t epoch, int64_t message) {
    return epoch << kMessageBits | static_cast<uint64_t>(message + 1);
  }
  EP4J_HOST_DEVICE static constexpr uint64_t epoch(uint64_t word) { return word >> kMessageBits; }
};

struct InternodeLayout {
  Topology topology;
  int max_tokens;
  int staging_rows;
  int max_row_bytes;
  int max_scale_words;
  int outputs;
  bool has_network = false;

  EP4J_HOST_DEVICE constexpr int64_t signal(int remote, int64_t place) const {
    return remote * staging_words() + 8 * place;
  }
  EP4J_HOST_DEVICE constexpr int64_t credit(int remote, int64_t place) const {
    return signal(topology.remotes(), 0) + remote * staging_words() + 8 * place;
  }
  EP4J_HOST_DEVICE constexpr int64_t returned(int output, int remote, int64_t message) const {
    return credit(topology.remotes(), 0) + table(output, remote) * lines(8 * int64_t{max_tokens}) +
           8 * message;
  }
  EP4J_HOST_DEVICE constexpr int64_t dropped(int remote) const {
    return returned(outputs, 0, 0) + remote * kLineBytes;
  }
  // Everything that holds tags, and is zero at first.
  EP4J_HOST_DEVICE constexpr int64_t control_bytes() const { return dropped(topology.remotes()); }

  EP4J_HOST_DEVICE constexpr int64_t incoming(int remote, int64_t place) const {
    return control_bytes() + (int64_t{remote} * staging_rows + place) * message_bytes();
  }
  EP4J_HOST_DEVICE constexpr int64_t outgoing(int remote, int64_t message) const {
    return incoming(topology.remotes(), 0) +
           (int64_t{remote} * max_tokens + message) * message_bytes();
  }
  EP4J_HOST_DEVICE constexpr int64_t sum(int output, int remote, int64_t message) const {
    return outgoing(topology.remotes(), 0) +
           (table(output, remote) * max_tokens + message) * sum_bytes();
  }
  EP4J_HOST_DEVICE constexpr int64_t outgoing_sum(int output, int remote, int64_t message) const {
    return has_network
               ? sum(outputs, 0, 0) + (table(output, remote) * max_tokens + message) * sum_bytes()
               : outgoing(remote, message);
  }
  EP4J_HOST_DEVICE constexpr int64_t bytes() const {
    return has_network ? outgoing_sum(outputs, 0, 0) : sum(outputs, 0, 0);
  }

  // Of the widest message and sum.
  EP4J_HOST_DEVICE constexpr int64_t message_bytes() const {
    return lines(NodeMessage{max_row_bytes, max_scale_words}.bytes());
  }
  EP4J_HOST_DEVICE constexpr int64_t sum_bytes() const {
    return NodeSumRow::x() + lines(max_row_bytes);
  }

 private:
  EP4J_HOST_DEVICE constexpr int64_t staging_words() const {
    return lines(8 * int64_t{staging_rows});
  }
  EP4J_HOST_DEVICE constexpr int64_t table(int output, int remote) const {
    return int64_t{output} * topology.remotes() + remote;
  }
};

}  // namespace ep4j
