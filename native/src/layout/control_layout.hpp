// Where every small message of the protocol lies in a rank's window. The window's owner only reads
// here; for each message there is one record per writing rank, so that every word has one writer.
//
//   calls      [kCallRing][n]   CallMessage: what the writer has called
//   counts     [kSendRing][n]   CountsMessage: rows that the writer will send here
//   grants     [kSendRing][n]   GrantMessage: where the writer lets this rank send
//   arrived    [regions][n]     Arrival: the writer's rows are at their place
//   ready      [outputs][n]     ReadyMessage: the writer's expert outputs may be read
//   read       [outputs][n]     epoch: the writer has read this rank's outputs
//   failed     [n]              FailureMessage: the writer gave up
//   masked     [n]              tag: changes when the writer masks this rank
#pragma once

#include "layout/limits.hpp"

namespace ep4j {

struct ControlLayout {
  // Calls that a peer may be ahead before its announcement is overwritten. A peer gets ahead by the
  // combines whose receiving half is outstanding here, at most kMaxOutputs, and one dispatch; in
  // low-latency mode by as many dispatches as there are inboxes, and combines as there are outputs.
  static constexpr int kCallRing = 64;
  static_assert(kCallRing >= kMaxOutputs + 2 * kMaxLowLatency + 2);

  // Counts and grants are read in the send half of a dispatch only, and no rank can be more than
  // one dispatch ahead there, so two in turn suffice (model-checked: probe/protocol_model.py). The
  // turn is the dispatch's ordinal, not its epoch: combines between two dispatches would give them
  // the same parity.
  static constexpr int kSendRing = 2;

  int num_ranks;
  int local_experts;
  int regions;
  int outputs;

  EP4J_HOST_DEVICE constexpr int64_t call(uint64_t epoch, int writer) const {
    return record(0, static_cast<int64_t>(epoch % kCallRing), writer, kLineBytes);
  }
  EP4J_HOST_DEVICE constexpr int64_t counts(uint64_t ordinal, int writer) const {
    return record(calls_end(), static_cast<int64_t>(ordinal % kSendRing), writer, counts_bytes());
  }
  EP4J_HOST_DEVICE constexpr int64_t grant(uint64_t ordinal, int writer) const {
    return record(counts_end(), static_cast<int64_t>(ordinal % kSendRing), writer, grant_bytes());
  }
  EP4J_HOST_DEVICE constexpr int64_t arrived(int region, int writer) const {
    return record(grants_end(), region, writer, kLineBytes);
  }
  EP4J_HOST_DEVICE constexpr int64_t ready(int output, int writer) const {
    return record(arrived_end(), output, writer, kLineBytes);
  }
  EP4J_HOST_DEVICE constexpr int64_t read(int output, int writer) const {
    return record(ready_end(), output, writer, kLineBytes);
  }
  EP4J_HOST_DEVICE constexpr int64_t failed(int writer) const {
    return record(read_end(), 0, writer, kLineBytes);
  }
  EP4J_HOST_DEVICE constexpr int64_t masked(int writer) const {
    return record(failed_end(), 0, writer, kLineBytes);
  }
  EP4J_HOST_DEVICE constexpr int64_t bytes() const {
    return record(failed_end(), 1, 0, kLineBytes);
  }

  EP4J_HOST_DEVICE constexpr int64_t counts_bytes() const {
    return kLineBytes + lines(4 * int64_t{local_experts});
  }
  EP4J_HOST_DEVICE constexpr int64_t grant_bytes() const {
    return kLineBytes + lines(4 * int64_t{local_experts});
  }

 private:
  EP4J_HOST_DEVICE constexpr int64_t calls_end() const {
    return record(0, kCallRing, 0, kLineBytes);
  }
  EP4J_HOST_DEVICE constexpr int64_t counts_end() const {
    return record(calls_end(), kSendRing, 0, counts_bytes());
  }
  EP4J_HOST_DEVICE constexpr int64_t grants_end() const {
    return record(counts_end(), kSendRing, 0, grant_bytes());
  }
  EP4J_HOST_DEVICE constexpr int64_t arrived_end() const {
    return record(grants_end(), regions, 0, kLineBytes);
  }
  EP4J_HOST_DEVICE constexpr int64_t ready_end() const {
    return record(arrived_end(), outputs, 0, kLineBytes);
  }
  EP4J_HOST_DEVICE constexpr int64_t read_end() const {
    return record(ready_end(), outputs, 0, kLineBytes);
  }
  EP4J_HOST_DEVICE constexpr int64_t failed_end() const {
    return record(read_end(), 1, 0, kLineBytes);
  }
  EP4J_HOST_DEVICE constexpr int64_t record(int64_t base, int64_t row, int writer,
                                            int64_t record_bytes) const {
    return base + (row * num_ranks + writer) * record_bytes;
  }
};

}  // namespace ep4j
