// The low-latency part of a rank's window, behind everything of normal mode. Offsets count from its
// own beginning.
//
//   landed    [inboxes][n]   LandedMessage: the writer's rows are in their slots, and how many
//   emptied   [inboxes][n]   epoch: the writer has taken this rank's rows out of its inbox
//   ready     [outputs][n]   LowLatencyReady: the writer's expert outputs may be read
//   read      [outputs][n]   epoch: the writer has read this rank's outputs
//   inboxes   [inboxes]      slots, as senders fill them
//   regions   [regions]      results, as the receiver packs them; no peer touches them
//   outputs   [outputs]      expert outputs; peers read them
//
// An inbox has a slot for every row that may come: (local expert, source, ordinal). Slots have the
// size of the widest message, whatever a call sends, so that a masked sender that is late by any
// number of calls still reaches its own slots only.
//
//   inbox     slots        [local experts, n, M] of slot_bytes
//   region    x            [local experts, n M] rows of the call's size
//             scales       [local experts, words, n M] 4-byte words
//             source_info  [local experts, n M] int32
//             layout_range [local experts, n] int64
//             count        [local experts] int32
//   output    x            [local experts, n M, H] BF16
//             ranges       [local experts, n M, H / 128] pairs of BF16, where H % 512 == 0
//
// Only where a network may be between ranks, behind all that:
//   arrivals  [inboxes][n]   rows that the writer has put in the inbox since the buffer was made
//   returned  [outputs][n]   pieces that the writer has put in the returns, likewise
//   outbox                   for each peer its landed and ready, before they are put there
//   messages  [inboxes][M]   this rank's messages, before they are put
//   returns   [outputs]      expert outputs that came back, in the form of an output; rows are
//                            [experts, M]: by expert and this rank's ordinal
#pragma once

#include "layout/messages.hpp"

namespace ep4j {

// "My rows are in your inbox." Followed, at kLandedCounts, by their number for each of the
// destination's experts, int32 [local experts].
struct LandedMessage {
  uint64_t tag;
  CallWords words;
  Refusal refusal;
  uint64_t arrivals;  // what the inbox's counter has reached once all rows are there
};
constexpr int64_t kLandedCounts = kLineBytes;

// "My expert outputs may be read." Followed, at kReadyBegins, by the reader's first row for each of
// the writer's experts, int32 [local experts].
struct LowLatencyReady {
  uint64_t tag;
  CallWords words;
  uint64_t returned;  // what the output's counter has reached once all pieces are there
};
constexpr int64_t kReadyBegins = kLineBytes;

static_assert(sizeof(LandedMessage) <= kLandedCounts);
static_assert(sizeof(LowLatencyReady) <= kReadyBegins);

constexpr int kScaleGroupChannels = 128;
constexpr int kLogFmtGroupChannels = 128;
constexpr int kLogFmtSmallChunk = 512;
constexpr int kLogFmtLargeChunk = 1024;

// One row on the wire: its channels, its scales, its token. 16 bytes are the unit of the bulk-copy
// engine.
struct MessageForm {
  int32_t row_bytes;    // a multiple of 16
  int32_t scale_words;  // 4-byte words

  EP4J_HOST_DEVICE constexpr int32_t scales() const { return row_bytes; }
  EP4J_HOST_DEVICE constexpr int32_t token() const {
    return scales() + (4 * scale_words + 15) / 16 * 16;
  }
  EP4J_HOST_DEVICE constexpr int32_t bytes() const { return token() + 16; }
};

struct LowLatencyLayout {
  int num_ranks;
  int local_experts;
  int max_tokens;  // M; 0: the buffer has no low-latency part
  int hidden;      // H
  int inboxes;
  int regions;
  int outputs;
  bool has_network = false;

  // Words.
  EP4J_HOST_DEVICE constexpr int64_t landed(int inbox, int writer) const {
    return record(0, inbox, writer, landed_bytes());
  }
  EP4J_HOST_DEVICE constexpr int64_t emptied(int inbox, int writer) const {
    return record(landed_end(), inbox, writer, kLineBytes);
  }
  EP4J_HOST_DEVICE constexpr int64_t ready(int output, int writer) const {
    return record(emptied_end(), output, writer, ready_bytes());
  }
  EP4J_HOST_DEVICE constexpr int64_t read(int output, int writer) const {
    return record(ready_end(), output, writer, kLineBytes);
  }
  EP4J_HOST_DEVICE constexpr int64_t control_bytes() const {
    return record(ready_end(), outputs, 0, kLineBytes);
  }

  // Inboxes.
  EP4J_HOST_DEVICE constexpr int64_t rows_per_expert() const {
    return int64_t{num_ranks} * max_tokens;
  }
  EP4J_HOST_DEVICE constexpr int64_t rows() const { return local_experts * rows_per_expert(); }
  EP4J_HOST_DEVICE constexpr int64_t slot_bytes() const {
    return lines(widest(MessageForm{2 * hidden, 0}, cast_form()));
  }
  EP4J_HOST_DEVICE constexpr int64_t inbox_bytes() const { return rows() * slot_bytes(); }
  EP4J_HOST_DEVICE constexpr int64_t inbox(int index) const {
    return control_bytes() + index * inbox_bytes();
  }
  EP4J_HOST_DEVICE constexpr int64_t slot(int index, int local_expert, int source,
                                          int ordinal) const {
    return inbox(index) + (local_expert * rows_per_expert() + int64_t{source} * max_tokens +
                           ordinal) * slot_bytes();
  }

  // Regions; fields count from the region's beginning.
  EP4J_HOST_DEVICE constexpr int64_t region(int index) const {
    return inbox(inboxes) + index * region_bytes();
  }
  EP4J_HOST_DEVICE constexpr int64_t x() const { return 0; }
  EP4J_HOST_DEVICE constexpr int64_t scales() const { return lines(rows() * 2 * hidden); }
  EP4J_HOST_DEVICE constexpr int64_t source_info() const {
    return scales() + lines(rows() * cast_form().scale_words * 4);
  }
  EP4J_HOST_DEVICE constexpr int64_t layout_range() const {
    return source_info() + lines(4 * rows());
  }
  EP4J_HOST_DEVICE constexpr int64_t count() const {
    return layout_range() + lines(8 * int64_t{local_experts} * num_ranks);
  }
  EP4J_HOST_DEVICE constexpr int64_t region_bytes() const {
    return count() + lines(4 * int64_t{local_experts});
  }

  // Outputs; fields count from the output's beginning.
  EP4J_HOST_DEVICE constexpr int64_t output(int index) const {
    return region(regions) + index * output_bytes();
  }
  EP4J_HOST_DEVICE constexpr int64_t y() const { return 0; }
  EP4J_HOST_DEVICE constexpr int64_t ranges() const { return lines(rows() * 2 * hidden); }
  EP4J_HOST_DEVICE constexpr int64_t range_bytes() const {  // of one row
    return hidden % kLogFmtSmallChunk == 0 ? 4 * int64_t{hidden} / kLogFmtGroupChannels : 0;
  }
  EP4J_HOST_DEVICE constexpr int64_t output_bytes() const {
    return ranges() + lines(rows() * range_bytes());
  }

  // Over a network.
  EP4J_HOST_DEVICE constexpr int64_t arrivals(int inbox, int writer) const {
    return record(output(outputs), inbox, writer, kLineBytes);
  }
  EP4J_HOST_DEVICE constexpr int64_t returned(int output_index, int writer) const {
    return record(arrivals(inboxes, 0), output_index, writer, kLineBytes);
  }
  EP4J_HOST_DEVICE constexpr int64_t counters_end() const { return returned(outputs, 0); }
  EP4J_HOST_DEVICE constexpr int64_t landed_outbox(int inbox, int peer) const {
    return counters_end() + landed(inbox, peer);
  }
  EP4J_HOST_DEVICE constexpr int64_t ready_outbox(int output_index, int peer) const {
    return counters_end() + ready(output_index, peer);
  }
  EP4J_HOST_DEVICE constexpr int64_t message(int inbox, int token) const {
    return counters_end() + control_bytes() +
           (int64_t{inbox} * max_tokens + token) * slot_bytes();
  }
  EP4J_HOST_DEVICE constexpr int64_t returns(int output_index) const {
    return message(inboxes, 0) + output_index * output_bytes();
  }
  EP4J_HOST_DEVICE constexpr int64_t return_row(int expert, int ordinal) const {
    return int64_t{expert} * max_tokens + ordinal;
  }

  EP4J_HOST_DEVICE constexpr int64_t landed_bytes() const {
    return kLandedCounts + lines(4 * int64_t{local_experts});
  }
  EP4J_HOST_DEVICE constexpr int64_t ready_bytes() const {
    return kReadyBegins + lines(4 * int64_t{local_experts});
  }

  EP4J_HOST_DEVICE constexpr int64_t bytes() const {
    if (max_tokens == 0) {
      return 0;
    }
    return has_network ? returns(outputs) : output(outputs);
  }

 private:
  // A row that is cast; only a hidden of whole groups has one.
  EP4J_HOST_DEVICE constexpr MessageForm cast_form() const {
    return hidden % kScaleGroupChannels == 0 ? MessageForm{hidden, hidden / kScaleGroupChannels}
                                             : MessageForm{0, 0};
  }
  EP4J_HOST_DEVICE static constexpr int64_t widest(const MessageForm& a, const MessageForm& b) {
    return a.bytes() > b.bytes() ? a.bytes() : b.bytes();
  }
  EP4J_HOST_DEVICE constexpr int64_t landed_end() const {
    return record(0, inboxes, 0, landed_bytes());
  }
  EP4J_HOST_DEVICE constexpr int64_t emptied_end() const {
    return record(landed_end(), inboxes, 0, kLineBytes);
  }
  EP4J_HOST_DEVICE constexpr int64_t ready_end() const {
    return record(emptied_end(), outputs, 0, ready_bytes());
  }
  EP4J_HOST_DEVICE constexpr int64_t record(int64_t base, int64_t row, int writer,
                                            int64_t record_bytes) const {
    return base + (row * num_ranks + writer) * record_bytes;
  }
};

}  // namespace ep4j
