// One rank's end of a buffer: its memory, its peers' windows, and the calls on them.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "kernels/internode/combine.hpp"
#include "kernels/normal/combine_exchange.hpp"
#include "kernels/normal/dispatch_send.hpp"
#include "layout/handle_layout.hpp"
#include "layout/pinned_layout.hpp"
#include "layout/rank_view.hpp"
#include "layout/window_layout.hpp"
#include "runtime/call_ends.hpp"
#include "runtime/device.hpp"
#include "runtime/internode.hpp"
#include "runtime/low_latency.hpp"
#include "runtime/memory.hpp"
#include "runtime/presence.hpp"
#include "runtime/window.hpp"

namespace ep4j {

// What the host remembers of a dispatch whose handle is open.
struct HandleRecord {
  bool filled = false;
  int num_tokens = 0;
  int num_topk = 0;
  int alignment = 1;
  int64_t rows = 0;  // of the result's region
  bool rank_major = true;
  bool bounded = false;
  bool has_weights = false;
};

// Bytes of this rank's window.
struct Place {
  int64_t offset = 0;
  int64_t bytes = 0;

  bool overlaps(const Place& other) const {
    return offset < other.offset + other.bytes && other.offset < offset + bytes;
  }
};

// What the host remembers of a region.
struct RegionState {
  Place place;               // in an arena chosen for each call
  bool open = false;         // holds a result, or will
  bool received = false;     // its receiving half was issued
  bool settled = false;      // its rows are known here
  bool has_readers = false;  // released() marks the end of the last result's readers
  RegionLayout layout = {};
  int handle = 0;
  Event released;
};

// What the host remembers of an output.
struct OutputState {
  Place place;              // in an arena chosen for each combine
  bool handed_out = false;  // by combine_input, to be written in place
  bool pending = false;     // published, and not received
  bool owes = false;        // what this node owes others is sent with the receiving half
};

// A region as one call will have it.
struct RegionPlan {
  RegionLayout layout;    // with as many rows as it has, or as it may get
  int64_t offset;         // of its place
  int64_t capacity_rows;  // that it can take; less than the layout's only without a place
  bool exact;             // gets as many rows as come
  bool no_place;          // has no place for its layout: the call is answered with an overflow
};

// Memory that a buffer would take; needs no device. low_latency is null for one without that mode.
void describe_memory(const ep4j_buffer_config& config, const ep4j_low_latency_config* low_latency,
                     bool has_network, ep4j_buffer_memory& memory);

class Buffer {
 public:
  // low_latency is null for a buffer without that mode, internode for one whose ranks are one node.
  Buffer(const ep4j_buffer_config& config, const ep4j_low_latency_config* low_latency,
         const Transport& transport, const ep4j_internode_config* internode = nullptr);
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  void name_window(ep4j_window_name& name) const;
  void connect(const ep4j_window_name* names);
  void disconnect();
  uint32_t reached() const;  // bit r: rank r's window is addressed by loads and stores
  void abandon_window() { window_->abandon(); }

  // For the window to be freed when all else of the buffer is.
  std::unique_ptr<Transport::Window> take_window() { return std::move(window_); }

  void layout(const ep4j_layout_call& call, cudaStream_t stream);
  bool layout_verdict(uint64_t ticket, ep4j_layout_verdict& verdict) const;
  void dispatch(const ep4j_dispatch_call& call, ep4j_dispatch_result& result, cudaStream_t stream);
  void dispatch_receive(int region, int64_t timeout_nanos, cudaStream_t stream);
  bool dispatch_counts(uint64_t ticket, int64_t wait_nanos, ep4j_counts& counts,
                       int32_t* tokens_per_expert) const;
  void release_region(int region, cudaStream_t stream);
  void place_region(int region, int64_t offset, int64_t bytes);
  void settle_region(int region, int64_t rows, ep4j_dispatch_result& result);
  void place_output(int output, int64_t offset, int64_t bytes);
  void* combine_input(int output, int64_t rows, int hidden, int64_t timeout_nanos,
                      cudaStream_t stream);
  void combine(const ep4j_combine_call& call, cudaStream_t stream);
  void combine_receive(const ep4j_combine_receive_call& call, cudaStream_t stream);

  void mark(cudaStream_t stream);
  void copy(const ep4j_copy_call& call, cudaStream_t stream) const;
  void low_latency_dispatch(const ep4j_low_latency_dispatch_call& call,
                            ep4j_low_latency_result& result, cudaStream_t stream);
  void low_latency_dispatch_receive(int region, int num_sms, int64_t timeout_nanos,
                                    cudaStream_t stream);
  void low_latency_release(int region, cudaStream_t stream);
  void* low_latency_combine_input(int output, int64_t timeout_nanos, cudaStream_t stream);
  void low_latency_combine(const ep4j_low_latency_combine_call& call, cudaStream_t stream);
  void low_latency_combine_receive(int output, int num_sms, int64_t timeout_nanos,
                                   cudaStream_t stream);

  // Blocks of a low-latency call that asks for so many multiprocessors, 0 for as many as it may
  // have.
  int low_latency_blocks(int num_sms) const;

  void mask(int rank);
  uint32_t masked() const;
  void take_fault(ep4j_error_record& record);
  void host_words(ep4j_host_words& words) const;
  bool standing(int64_t wait_nanos, ep4j_standing& standing);
  bool network(int64_t wait_nanos, ep4j_network& network);
  void abort();
  void forget(int rank);
  bool is_idle() const;
  bool welcome(const ep4j_welcome_call& call);

 private:
  // Brackets the kernels of one call: on the buffer's device, after the buffer's last call.
  class Call;

  PinnedLayout pinned_layout() const { return {local_experts_}; }
  RankView view(int64_t timeout_nanos) const;
  HandleView handle_view(int handle) const;
  const HandleRecord& open_handle(int handle) const;
  HandleRecord check_routing(const ep4j_dispatch_call& call) const;
  RowForm row_form(const ep4j_dispatch_call& call, const HandleRecord& routing) const;
  void check_rows(const ep4j_dispatch_call& call) const;
  RegionState& region_state(int region);
  RegionState& free_region(int region);
  RegionPlan plan_region(const ep4j_dispatch_call& call, const RowForm& form,
                         const Place& place) const;
  void describe_result(const RegionState& region, ep4j_dispatch_result& result) const;
  Place checked_place(int64_t offset, int64_t bytes) const;
  OutputState& free_output(int output);
  bool is_arena() const { return config_.arena_bytes > 0; }
  uint32_t arena_outputs() const;
  uint64_t regions_at(int region) const;
  void require_outputs_received() const;
  void plan(const ep4j_dispatch_call& call, const HandleRecord& routing, cudaStream_t stream);
  void negotiate(const ep4j_dispatch_call& call, const HandleRecord& routing,
                 const RegionPlan& region, cudaStream_t stream);
  void send(const ep4j_dispatch_call& call, const HandleRecord& routing, const RegionPlan& region,
            cudaStream_t stream);
  void check_output(int output, int64_t rows, int hidden, int weights_per_row) const;
  void await_readers(const PublishParams& combine, cudaStream_t stream);
  int num_blocks(int num_sms) const;
  Stream on(cudaStream_t stream) const { return {stream, limits_.has_programmatic_launch}; }
  InternodeView internode_view(int64_t timeout_nanos) const;
  void plan_nodes(const ep4j_dispatch_call& call, cudaStream_t stream);
  void check_message(const RowForm& form) const;
  void send_across(const ep4j_dispatch_call& call, const HandleRecord& routing,
                   const RegionPlan& region, cudaStream_t stream);
  template <class CombineHalf>
  NodeReduceParams reduce_params(const CombineHalf& call, bool with_weights);
  void reduce_across(const ep4j_combine_call& call, const PublishParams& published,
                     cudaStream_t stream);
  void sum_across(const ep4j_combine_receive_call& call, bool reduces, cudaStream_t stream);
  LowLatency& low_latency() const;
  LowLatencyView low_latency_view(int region, int64_t timeout_nanos) const;
  LowLatencyRegion& low_latency_region(int region) const;
  LowLatencyOutput& low_latency_output(int output) const;
  char* low_latency_memory(int64_t offset) const;
  void check_low_latency(const ep4j_low_latency_dispatch_call& call) const;
  void check_low_latency(const ep4j_low_latency_combine_call& call) const;
  void finish_low_latency(Call& call, int blocks) const;
  void check_stream(cudaStream_t stream) const;
  void require_connected() const;
  void require_reach() const;
  void require_room(const ep4j_window_name* names) const;
  void clear_window(const char* what, int64_t offset, int64_t bytes) const;
  void require_peer(int rank) const;
  template <class Launch>
  void beside_calls(const char* what, Launch launch);
  bool await_control(int64_t wait_nanos) const;

  const ep4j_buffer_config config_;
  const int local_experts_;
  const DeviceLimits limits_;
  const bool bulk_;
  const std::unique_ptr<LowLatency> low_latency_;  // or null
  const std::unique_ptr<Internode> internode_;     // or null
  const WindowLayout layout_;
  const HandleLayout handle_layout_;
  std::unique_ptr<Transport::Window> window_;
  DeviceMemory local_;
  DeviceMemory handles_;
  PinnedMemory pinned_;
  std::unique_ptr<Presence> presence_;  // until the buffer is disconnected
  WindowName name_ = {};
  RankView view_ = {};
  std::vector<MappedWindow> peers_;  // empty while not connected
  int distant_ = -1;  // the first rank of the own node that only a network reaches, -1 for none
  bool has_far_ranks_ = false;  // whether there is one in any node
  std::vector<HandleRecord> handle_records_;
  std::unique_ptr<RegionState[]> regions_;
  std::array<OutputState, kMaxOutputs> outputs_ = {};
  uint32_t masked_by_host_ = 0;
  CallEnds ends_;
  cudaStream_t last_stream_ = nullptr;
  bool captured_ = false;                  // some call is part of a graph
  cudaStream_t control_stream_ = nullptr;  // of the kernels beside the calls
  Event control_;                          // the last of them
  bool control_pending_ = false;           // no call has been ordered after it yet
  uint64_t standing_ticks_ = 0;
};

}  // namespace ep4j
