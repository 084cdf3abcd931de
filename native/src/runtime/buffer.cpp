#include "runtime/buffer.hpp"

#include <cstring>

#include "kernels/normal/combine_exchange.hpp"
#include "kernels/normal/combine_pull.hpp"
#include "kernels/normal/copy_pieces.hpp"
#include "kernels/normal/dispatch_receive.hpp"
#include "kernels/normal/membership.hpp"
#include "kernels/normal/negotiate.hpp"
#include "kernels/plan/routing_plan.hpp"
#include "layout/buffer_memory.hpp"
#include "layout/pinned_layout.hpp"
#include "runtime/environment.hpp"
#include "runtime/streams.hpp"

namespace ep4j {
namespace {

const ep4j_buffer_config& checked(const ep4j_buffer_config& config) {
  require(config.num_ranks >= 1 && config.num_ranks <= kMaxRanks, "num_ranks must be from 1 to ",
          kMaxRanks, ": ", config.num_ranks);
  require(config.rank >= 0 && config.rank < config.num_ranks, "rank must be from 0 to ",
          config.num_ranks - 1, ": ", config.rank);
  require(config.num_experts >= 1 && config.num_experts % config.num_ranks == 0,
          "num_experts must be a positive multiple of num_ranks ", config.num_ranks, ": ",
          config.num_experts);
  require(config.max_tokens >= 1, "max_tokens must be at least 1: ", config.max_tokens);
  require(config.max_topk >= 1 && config.max_topk <= kMaxTopk, "max_topk must be from 1 to ",
          kMaxTopk, ": ", config.max_topk);
  require(config.max_row_bytes >= 16 && config.max_row_bytes % 16 == 0,
          "max_row_bytes must be a positive multiple of 16: ", config.max_row_bytes);
  require(config.num_regions >= 1 && config.num_regions <= kMaxRegions,
          "num_regions must be from 1 to ", kMaxRegions, ": ", config.num_regions);
  require(config.num_outputs >= 1 && config.num_outputs <= kMaxOutputs,
          "num_outputs must be from 1 to ", kMaxOutputs, ": ", config.num_outputs);
  require(config.max_handles >= 1, "max_handles must be at least 1: ", config.max_handles);
  require(config.region_bytes >= 0, "region_bytes must not be negative: ", config.region_bytes);
  require(config.output_bytes >= 0, "output_bytes must not be negative: ", config.output_bytes);
  require(config.arena_bytes >= 0, "arena_bytes must not be negative: ", config.arena_bytes);
  require(config.arena_bytes == 0 || (config.region_bytes == 0 && config.output_bytes == 0),
          "region_bytes and output_bytes must be 0 with arena_bytes: ", config.region_bytes, ", ",
          config.output_bytes);
  return config;
}

const ep4j_buffer_config& checked_device(const ep4j_buffer_config& config) {
  int devices = device_count();
  require(config.device >= 0 && config.device < devices, "device must be from 0 to ", devices - 1,
          ": ", config.device);
  return config;
}

bool choose_bulk(const ep4j_buffer_config& config, const DeviceLimits& limits) {
  require(config.copy_path >= EP4J_COPY_AUTO && config.copy_path <= EP4J_COPY_BULK,
          "copy_path must be an ep4j_copy_path: ", config.copy_path);
  require(config.copy_path != EP4J_COPY_BULK || limits.has_bulk_copy,
          "copy_path BULK needs compute capability 9.0, device ", config.device, " has less");
  return limits.has_bulk_copy && config.copy_path != EP4J_COPY_LOAD_STORE;
}

// FNV-1a.
constexpr uint64_t kHashStart = 0xcbf29ce484222325;
uint64_t hashed(uint64_t hash, uint64_t field) { return (hash ^ field) * 0x100000001b3; }

// Of what must be equal on all ranks.
uint64_t digest(const ep4j_buffer_config& config, const LowLatencyLayout& low, bool has_network,
                const InternodeLayout& nodes) {
  const int64_t fields[] = {config.num_ranks,    config.num_experts, config.max_tokens,
                            config.max_topk,     config.num_regions, config.num_outputs,
                            config.arena_bytes > 0, low.max_tokens,    low.hidden,
                            low.inboxes,         low.regions,        low.outputs,
                            has_network, nodes.topology.ranks_per_node, nodes.staging_rows,
                            nodes.bytes()};
  uint64_t hash = kHashStart;
  for (int64_t field : fields) {
    hash = hashed(hash, static_cast<uint64_t>(field));
  }
  return hash;
}

// Everything that a launch would otherwise load or size.
void prepare_kernels(const DeviceLimits& limits, bool bulk) {
  check(load_routing_plan(), "loading the planning kernels");
  check(load_negotiate(), "loading the negotiating kernel");
  check(load_dispatch_receive(), "loading the receiving kernel");
  check(load_copy_pieces(), "loading the copying kernel");
  check(load_combine_exchange(), "loading combine's waiting kernels");
  check(load_membership(), "loading the kernels beside the calls");
  check(prepare_dispatch_send(limits.shared_bytes, bulk), "sizing the sending kernels");
  check(prepare_combine_pull(limits.shared_bytes, bulk), "sizing the summing kernels");
}

}  // namespace

void describe_memory(const ep4j_buffer_config& config, const ep4j_low_latency_config* low_latency,
                     bool has_network, ep4j_buffer_memory& memory) {
  const LowLatencyLayout low = low_latency_layout(
      low_latency == nullptr ? nullptr : &checked(*low_latency), checked(config).num_ranks,
      config.num_experts, has_network);
  const BufferMemory bytes(config, low.bytes(), has_network);
  memory.control_bytes = bytes.control_bytes() + low.control_bytes();
  memory.low_latency_dispatch_bytes =
      low_latency == nullptr ? 0 : low.output(0) - low.control_bytes();
  memory.low_latency_combine_bytes =
      low_latency == nullptr ? 0 : bytes.low_latency_bytes() - low.output(0);
  memory.dispatch_bytes = bytes.dispatch_bytes();
  memory.combine_bytes = bytes.combine_bytes();
  memory.private_bytes =
      bytes.local.bytes() + bytes.handle_bytes() +
      (low_latency == nullptr ? 0 : low_latency_state_layout(low_latency, config).bytes());
  memory.pinned_bytes = bytes.pinned.bytes();
}

Buffer::Buffer(const ep4j_buffer_config& config, const ep4j_low_latency_config* low_latency,
               const Transport& transport, const ep4j_internode_config* internode)
    : config_(checked_device(checked(config))),
      local_experts_(config.num_experts / config.num_ranks),
      limits_(device_limits(config.device)),
      bulk_(choose_bulk(config, limits_)),
      low_latency_(low_latency == nullptr
                       ? nullptr
                       : std::make_unique<LowLatency>(*low_latency, config, limits_, bulk_,
                                                      transport.has_network())),
      internode_(internode == nullptr ? nullptr
                                      : std::make_unique<Internode>(*internode, config, limits_,
                                                                    transport.has_network())),
      layout_(BufferMemory(config, low_latency_ == nullptr ? 0 : low_latency_->layout.bytes(),
                           transport.has_network(),
                           internode_ == nullptr ? 0 : internode_->layout.bytes())
                  .window),
      handle_layout_(BufferMemory(config).handle),
      window_(transport.allocate(layout_.bytes())),
      local_(static_cast<size_t>(BufferMemory(config).local.bytes())),
      handles_(static_cast<size_t>(BufferMemory(config).handle_bytes())),
      pinned_(static_cast<size_t>(BufferMemory(config).pinned.bytes())),
      handle_records_(static_cast<size_t>(config.max_handles)),
      regions_(std::make_unique<RegionState[]>(static_cast<size_t>(config.num_regions))) {
  prepare_kernels(limits_, bulk_);
  const LocalLayout local{config.num_experts};
  const PinnedLayout pinned{local_experts_};
  clear_window("clearing the window's control records", 0, layout_.low_latency());
  if (low_latency_ != nullptr) {
    const LowLatencyLayout& low = low_latency_->layout;
    clear_window("clearing the window's low-latency records", layout_.low_latency(),
                 low.control_bytes());
    if (low.has_network) {
      clear_window("clearing the window's counters", layout_.low_latency() + low.arrivals(0, 0),
                   low.counters_end() - low.arrivals(0, 0));
    }
  }
  if (internode_ != nullptr) {
    clear_window("clearing the window's records of other nodes", layout_.internode(),
                 internode_->layout.control_bytes());
  }
  check(cudaMemset(local_.get(), 0, static_cast<size_t>(local.bytes())), "clearing local memory");
  std::memset(pinned_.host(), 0, static_cast<size_t>(pinned.bytes()));
  *reinterpret_cast<uint64_t*>(pinned_.host() + pinned.undelivered()) = UINT64_MAX;
  control_stream_ = take_stream(config.device, true);
  check(cudaDeviceSynchronize(), "preparing the buffer");
  name_ = ep4j::name_window(window_->get(), static_cast<uint64_t>(layout_.bytes()), config.device,
                            digest(config,
                                   low_latency_layout(low_latency, config.num_ranks,
                                                      config.num_experts, transport.has_network()),
                                   transport.has_network(),
                            internode_layout(internode, config, transport.has_network())));

  for (int i = 0; i < config.num_regions; i++) {
    regions_[static_cast<size_t>(i)].place = {layout_.region(i), config.region_bytes};
  }
  for (int i = 0; i < config.num_outputs; i++) {
    outputs_[static_cast<size_t>(i)].place = {layout_.output(i), config.output_bytes};
  }

  presence_ = std::make_unique<Presence>(config.device, low_latency != nullptr);
  view_.rank = config.rank;
  view_.num_ranks = config.num_ranks;
  view_.local_experts = local_experts_;
  view_.ranks_per_node =
      internode == nullptr ? config.num_ranks : internode->ranks_per_node;
  view_.mask_on_timeout = config.mask_on_timeout;
  view_.control = layout_.control;
  view_.outbox = layout_.outbox();
  view_.state = reinterpret_cast<LocalState*>(local_.get() + local.state());
  view_.tokens_per_expert = reinterpret_cast<int32_t*>(local_.get() + local.tokens_per_expert());
  view_.expert_base = reinterpret_cast<int32_t*>(local_.get() + local.expert_base());
  view_.fault = reinterpret_cast<FaultRecord*>(pinned_.device() + pinned.fault());
  view_.drop = reinterpret_cast<FaultRecord*>(pinned_.device() + pinned.drop());
  view_.host_masked = reinterpret_cast<uint32_t*>(pinned_.device() + pinned.masked());
  view_.undelivered = reinterpret_cast<uint64_t*>(pinned_.device() + pinned.undelivered());
  view_.host_late = reinterpret_cast<uint32_t*>(pinned_.device() + pinned.late());
  view_.host_counts = reinterpret_cast<HostCounts*>(pinned_.device() + pinned.counts());
}

void Buffer::clear_window(const char* what, int64_t offset, int64_t bytes) const {
  check(cudaMemset(window_->get() + offset, 0, static_cast<size_t>(bytes)), what);
}

Buffer::~Buffer() {
  if (control_stream_ != nullptr) {
    give_stream(control_stream_);
  }
}

// All ranks of a group have made their ends before any is connected, so all of them are counted.
void Buffer::require_room(const ep4j_window_name* names) const {
  int other_ranks = 0;
  int ranks_here = 0;
  uint64_t group = kHashStart;
  for (int rank = 0; rank < config_.num_ranks; rank++) {
    WindowName name;
    std::memcpy(&name, names[rank].bytes, sizeof name);
    other_ranks += same_device(name_, name) && !same_process(name_, name) ? 1 : 0;
    ranks_here += same_device(name_, name) ? 1 : 0;
    require(internode_ == nullptr || layout_.has_network || same_process(name_, name), "rank ",
            rank, " must be a thread of this process: nodes are simulated here, over a loopback "
            "network");
    for (unsigned char byte : names[rank].bytes) {
      group = hashed(group, byte);
    }
  }
  presence_->join(group, other_ranks);
  DeviceUse use = presence_->use();
  check(count_negotiating_blocks(local_experts_, &use.waiting_blocks), "counting waiting blocks");
  use.waiting_blocks *= limits_.num_sms;
  use.num_sms = limits_.num_sms;
  const std::string refusal =
      sharing_refusal(config_.device, context_settings(config_.device), use);
  require(refusal.empty(), refusal);
  if (internode_ != nullptr) {
    internode_->share(ranks_here);
  }
  if (low_latency_ != nullptr) {
    require(presence_->low_latency_blocks(limits_.num_sms) > 0, "device ", config_.device,
            " must have a multiprocessor for each rank's low-latency calls on it: of its ",
            limits_.num_sms, " graphs of other buffers may have taken all, and ",
            use.low_latency_ranks, " ranks share the rest");
  }
}

void Buffer::name_window(ep4j_window_name& name) const {
  std::memset(&name, 0, sizeof name);
  std::memcpy(name.bytes, &name_, sizeof name_);
}

void Buffer::connect(const ep4j_window_name* names) {
  require(peers_.empty(), "the buffer must not be connected, and it is");
  DeviceScope scope(config_.device);
  require_room(names);
  std::vector<MappedWindow> peers;
  for (int rank = 0; rank < config_.num_ranks; rank++) {
    WindowName name;
    std::memcpy(&name, names[rank].bytes, sizeof name);
    peers.push_back(window_->map(name_, name, rank));
  }
  for (int rank = 0; rank < config_.num_ranks; rank++) {
    view_.windows[rank] = peers[static_cast<size_t>(rank)].address();
    const bool must_reach = rank / view_.ranks_per_node == config_.rank / view_.ranks_per_node;
    distant_ = distant_ < 0 && must_reach && view_.windows[rank] == nullptr ? rank : distant_;
    has_far_ranks_ |= view_.windows[rank] == nullptr;
  }
  peers_ = std::move(peers);
}

RankView Buffer::view(int64_t timeout_nanos) const {
  require(timeout_nanos > 0, "timeout_nanos must be positive: ", timeout_nanos);
  RankView view = view_;
  view.timeout_nanos = timeout_nanos;
  return view;
}

HandleView Buffer::handle_view(int handle) const {
  return HandleView(handles_.get() + handle_layout_.bytes() * handle, handle_layout_);
}

void Buffer::require_connected() const {
  require(!peers_.empty(), "the buffer must be connected, and it is not");
}

uint32_t Buffer::reached() const {
  require_connected();
  uint32_t ranks = 0;
  for (int rank = 0; rank < config_.num_ranks; rank++) {
    ranks |= view_.windows[rank] != nullptr ? 1u << rank : 0;
  }
  return ranks;
}

void Buffer::require_reach() const {
  require(distant_ < 0, "normal mode needs every rank of a node within reach of loads and stores; "
          "rank ", distant_, " is reached by a network only, which serves other nodes and "
          "low-latency mode");
}

}  // namespace ep4j
