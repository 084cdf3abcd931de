// What the host does beside the calls: masks, standing, the end.
#include <chrono>
#include <cstring>
#include <thread>

#include "kernels/normal/copy_pieces.hpp"
#include "kernels/normal/membership.hpp"
#include "layout/pinned_layout.hpp"
#include "runtime/buffer.hpp"

namespace ep4j {
namespace {

// Polls, and never blocks in the driver, where other ranks of the process may want to launch what
// is waited for. False once the time is up.
template <class Query>
bool poll(Query query, int64_t wait_nanos, const char* what) {
  const auto begin = std::chrono::steady_clock::now();
  const auto spin_limit = begin + std::chrono::microseconds(100);
  const auto limit = begin + std::chrono::nanoseconds(wait_nanos);
  while (true) {
    cudaError_t found = query();
    if (found != cudaErrorNotReady) {
      check(found, what);
      return true;
    }
    cudaGetLastError();  // not a failure; don't leave it for the next launch to find
    const auto now = std::chrono::steady_clock::now();
    if (now >= limit) {
      return false;
    }
    if (now >= spin_limit) {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }
}

}  // namespace

// Launches a kernel that waits for no call; later calls come after it.
template <class Launch>
void Buffer::beside_calls(const char* what, Launch launch) {
  require_connected();
  DeviceScope scope(config_.device);
  check(launch(control_stream_), what);
  check(cudaEventRecord(control_.get(), control_stream_), "recording a kernel beside the calls");
  control_pending_ = true;
}

void Buffer::disconnect() {
  DeviceScope scope(config_.device);
  constexpr int64_t kForever = INT64_MAX / 2;  // every wait of a kernel has a deadline
  if (captured_) {
    check(cudaDeviceSynchronize(), "ending the buffer's work");
  } else {
    // Not the device's: other ranks may wait there for this one.
    poll([&] { return cudaEventQuery(ends_.last()); }, kForever, "ending the buffer's work");
  }
  if (!peers_.empty()) {
    beside_calls("telling the peers that this rank closes",
                 [&](cudaStream_t stream) {
                   return launch_leave(view_, EP4J_FAULT_CLOSED, stream);
                 });
  }
  await_control(kForever);
  peers_.clear();
  presence_.reset();
}

void Buffer::require_peer(int rank) const {
  require(rank >= 0 && rank < config_.num_ranks && rank != config_.rank,
          "rank must be another one, from 0 to ", config_.num_ranks - 1, ": ", rank);
}

bool Buffer::await_control(int64_t wait_nanos) const {
  return poll([&] { return cudaStreamQuery(control_stream_); }, wait_nanos,
              "a kernel beside the calls");
}

void Buffer::mask(int rank) {
  require_peer(rank);
  beside_calls("masking a rank",
               [&](cudaStream_t stream) { return launch_mask(view_, rank, stream); });
  masked_by_host_ |= 1u << rank;
}

void Buffer::abort() {
  beside_calls("giving up", [&](cudaStream_t stream) {
    return launch_leave(view_, EP4J_FAULT_ABORTED, stream);
  });
}

void Buffer::forget(int rank) {
  require_peer(rank);
  beside_calls("forgetting a rank",
               [&](cudaStream_t stream) { return launch_forget(view_, rank, stream); });
}

bool Buffer::is_idle() const {
  return poll([&] { return cudaEventQuery(ends_.last()); }, 0, "the buffer's work");
}

void Buffer::host_words(ep4j_host_words& words) const {
  const PinnedLayout pinned{local_experts_};
  char* base = pinned_.host();
  words.fault = &reinterpret_cast<FaultRecord*>(base + pinned.fault())->state;
  words.drop = &reinterpret_cast<FaultRecord*>(base + pinned.drop())->state;
  words.undelivered = reinterpret_cast<uint64_t*>(base + pinned.undelivered());
  words.late = reinterpret_cast<uint32_t*>(base + pinned.late());
  words.num_ends = ends_.count();
  words.ends = ends_.handles();
}

bool Buffer::standing(int64_t wait_nanos, ep4j_standing& standing) {
  const PinnedLayout pinned{local_experts_};
  StandingParams params = {};
  params.view = view_;
  params.low_latency = low_latency_ == nullptr ? nullptr : low_latency_->state();
  params.record = reinterpret_cast<StandingRecord*>(pinned_.device() + pinned.standing());
  params.tick = ++standing_ticks_;
  beside_calls("asking where this rank stands",
               [&](cudaStream_t stream) { return launch_standing(params, stream); });
  const auto* record =
      reinterpret_cast<const StandingRecord*>(pinned_.host() + pinned.standing());
  if (!await_control(wait_nanos) ||
      __atomic_load_n(&record->tick, __ATOMIC_ACQUIRE) != params.tick) {
    return false;
  }
  standing.epoch = record->epoch;
  standing.dispatches = record->dispatches;
  standing.low_latency_dispatches = record->low_latency_dispatches;
  standing.failed = static_cast<int32_t>(record->failed);
  standing.masked_by = record->masked_by;
  standing.left = record->left;
  standing.quarantined = 0;
  for (int region = 0; region < config_.num_regions; region++) {
    standing.late[region] = record->late[region];
    const bool free = !regions_[static_cast<size_t>(region)].open;
    standing.quarantined += free && record->late[region] != 0 ? 1 : 0;
  }
  for (int rank = 0; rank < config_.num_ranks; rank++) {
    const PeerTraffic& traffic = record->traffic[rank];
    standing.mask_tags[rank] = record->mask_tags[rank];
    standing.failure_tags[rank] = record->failure_tags[rank];
    standing.rows_sent[rank] = traffic.rows_sent;
    standing.bytes_sent[rank] = traffic.bytes_sent;
    standing.rows_received[rank] = traffic.rows_received;
    standing.rows_combined[rank] = traffic.rows_combined;
    standing.wait_nanos[rank] = traffic.wait_nanos;
    const PeerTraffic& low = record->low_latency_traffic[rank];
    standing.low_latency_rows_sent[rank] = low.rows_sent;
    standing.low_latency_bytes_sent[rank] = low.bytes_sent;
    standing.low_latency_rows_received[rank] = low.rows_received;
    standing.low_latency_rows_combined[rank] = low.rows_combined;
    standing.low_latency_wait_nanos[rank] = low.wait_nanos;
  }
  return true;
}

bool Buffer::network(int64_t wait_nanos, ep4j_network& network) {
  const PinnedLayout pinned{local_experts_};
  constexpr size_t kBytes = sizeof(NodeTraffic) * kMaxRanks;
  if (internode_ != nullptr) {
    CopyParams copy = {};
    copy.add(internode_->state()->network, pinned_.device() + pinned.network(), kBytes);
    beside_calls("asking what went over the network",
                 [&](cudaStream_t stream) { return launch_copy_pieces(copy, 1, stream); });
    if (!await_control(wait_nanos)) {
      return false;
    }
  }
  const auto* traffic = reinterpret_cast<const NodeTraffic*>(pinned_.host() + pinned.network());
  for (int node = 0; node < kMaxRanks; node++) {
    network.rows_sent[node] = traffic[node].rows_sent;
    network.bytes_sent[node] = traffic[node].bytes_sent;
    network.rows_combined[node] = traffic[node].rows_combined;
    network.bytes_combined[node] = traffic[node].bytes_combined;
  }
  return true;
}

bool Buffer::welcome(const ep4j_welcome_call& call) {
  WelcomeParams params = {};
  params.view = view_;
  params.members = static_cast<uint32_t>(call.members);
  params.epoch = call.epoch;
  params.dispatches = call.dispatches;
  params.low_latency = low_latency_ == nullptr ? nullptr : low_latency_->state();
  params.low_latency_dispatches = call.low_latency_dispatches;
  for (int rank = 0; rank < config_.num_ranks; rank++) {
    params.mask_tags[rank] = call.mask_tags[rank];
    params.failure_tags[rank] = call.failure_tags[rank];
  }
  require((params.members >> config_.rank & 1) == 0, "members must be other ranks");
  beside_calls("welcoming ranks",
               [&](cudaStream_t stream) { return launch_welcome(params, stream); });
  masked_by_host_ &= ~params.members;
  return await_control(call.wait_nanos);
}

uint32_t Buffer::masked() const {
  const uint32_t* words =
      reinterpret_cast<const uint32_t*>(pinned_.host() + PinnedLayout{local_experts_}.masked());
  uint32_t ranks = masked_by_host_;
  for (int rank = 0; rank < config_.num_ranks; rank++) {
    ranks |= __atomic_load_n(&words[rank], __ATOMIC_ACQUIRE) != 0 ? 1u << rank : 0;
  }
  return ranks;
}

void Buffer::take_fault(ep4j_error_record& record) {
  const PinnedLayout pinned{local_experts_};
  constexpr uint32_t kEmpty = 0;
  constexpr uint32_t kComplete = 2;
  auto complete = [&](int64_t offset) {
    FaultRecord* found = reinterpret_cast<FaultRecord*>(pinned_.host() + offset);
    return __atomic_load_n(&found->state, __ATOMIC_ACQUIRE) == kComplete ? found : nullptr;
  };
  record.fault = EP4J_FAULT_NONE;
  FaultRecord* fault = complete(pinned.fault());
  fault = fault == nullptr ? complete(pinned.drop()) : fault;
  if (fault == nullptr) {
    return;
  }
  record.fault = fault->fault;
  record.stage = fault->stage;
  record.peer = fault->peer;
  record.origin = fault->origin;
  record.region = fault->region;
  record.rule = fault->refusal.rule;
  record.token = fault->refusal.token;
  record.value = fault->refusal.value;
  record.expected = fault->expected;
  record.seen = fault->seen;
  record.needed = fault->needed;
  record.capacity = fault->capacity;
  static_assert(sizeof record.origin_call == sizeof fault->origin_call);
  std::memcpy(record.origin_call, &fault->origin_call, sizeof record.origin_call);
  std::memcpy(record.peer_call, &fault->peer_call, sizeof record.peer_call);
  __atomic_store_n(&fault->state, kEmpty, __ATOMIC_RELEASE);
}

}  // namespace ep4j
