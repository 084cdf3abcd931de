#include "world.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

namespace ep4j::test {
namespace {

std::vector<int32_t> narrow(const std::vector<int64_t>& values) {
  return {values.begin(), values.end()};
}

// [T, S] by rows into [S, T].
std::vector<uint32_t> by_column(const std::vector<uint32_t>& rows, size_t words) {
  std::vector<uint32_t> columns(rows.size());
  size_t tokens = words == 0 ? 0 : rows.size() / words;
  for (size_t i = 0; i < rows.size(); i++) {
    columns[i % words * tokens + i / words] = rows[i];
  }
  return columns;
}

int64_t output_bytes(const Case& c) {
  int64_t bytes = 0;
  ok(ep4j_output_bytes(c.rows(), c.hidden, c.rank_major() ? c.topk : 1, &bytes),
     "sizing an output");
  return bytes;
}

// Says what each rank is doing if a run takes suspiciously long.
class Watchdog {
 public:
  explicit Watchdog(const std::vector<std::unique_ptr<RankEnd>>& ends)
      : thread_([this, &ends] { watch(ends); }) {}
  ~Watchdog() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      done_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  Watchdog(const Watchdog&) = delete;

 private:
  void watch(const std::vector<std::unique_ptr<RankEnd>>& ends) {
    constexpr auto kPatience = std::chrono::seconds(4);
    std::unique_lock<std::mutex> lock(mutex_);
    if (!changed_.wait_for(lock, kPatience, [this] { return done_; })) {
      std::printf("\n  after 4 s:");
      for (const auto& end : ends) {
        std::printf(" rank %d %s;", end->rank, end->doing.load());
      }
      std::printf("\n");
      std::fflush(stdout);
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;
  std::thread thread_;
};

}  // namespace

ep4j_buffer_config buffer_config(const Case& c, int rank, int regions, int outputs,
                                 bool mask) {
  ep4j_buffer_config config = {};
  config.struct_size = sizeof config;
  config.rank = rank;
  config.num_ranks = c.ranks;
  config.num_experts = c.experts;
  config.max_tokens = c.max_tokens();
  config.max_topk = c.topk;
  config.max_row_bytes = 2 * c.hidden;
  config.num_regions = regions;
  config.num_outputs = outputs;
  config.max_handles = 4;
  config.copy_path = c.copy_path;
  config.mask_on_timeout = mask;
  if (c.arena) {
    config.arena_bytes = 4 * place_bytes(c) + 1000 * rank;  // may differ by rank
  } else {
    config.region_bytes = region_bytes(c, c.rows());
    config.output_bytes = output_bytes(c);
  }
  return config;
}

ep4j_internode_config internode_config(const Case& c, int rank) {
  ep4j_internode_config config = {};
  config.struct_size = sizeof config;
  config.ranks_per_node = c.ranks_per_node;
  config.staging_rows = std::min(c.staging_rows, c.max_tokens());
  config.max_scale_words = c.wire_scale_words();
  config.seed = c.fabric_seed == 0 ? 0 : c.fabric_seed + static_cast<uint64_t>(rank);
  return config;
}

bool print_device() {
  ep4j_device device = {};
  device.struct_size = sizeof device;
  if (ep4j_device_info(0, &device) != EP4J_OK) {
    std::printf("no device: %s\n", ep4j_last_error());
    return false;
  }
  std::printf("device %s, %d.%d, %d SMs, driver %d\n", device.name, device.compute_major,
              device.compute_minor, device.num_sms, device.driver_version);
  return true;
}

void ok(ep4j_status status, const char* what) {
  expect(status == EP4J_OK, what, ": status ", status, ": ", ep4j_last_error());
}

void ok(cudaError_t error, const char* what) {
  expect(error == cudaSuccess, what, ": ", cudaGetErrorString(error));
}

Arena::Arena(size_t bytes) : bytes_(bytes) {
  void* base = nullptr;
  ok(cudaMalloc(&base, bytes), "allocating scratch");
  base_ = static_cast<char*>(base);
}

Arena::~Arena() { cudaFree(base_); }

char* Arena::take(size_t bytes) {
  char* address = base_ + used_;
  used_ += (bytes + 255) / 256 * 256;
  expect(used_ <= bytes_, "scratch of ", bytes_, " bytes is too small");
  return address;
}

namespace {

ep4j_buffer* make_buffer(const ep4j_buffer_config& config,
                         const ep4j_low_latency_config* low_latency,
                         const ep4j_internode_config* internode) {
  ep4j_buffer* buffer = nullptr;
  if (internode != nullptr) {
    ok(ep4j_buffer_create_internode(&config, internode, &buffer), "making a buffer of several nodes");
    return buffer;
  }
  ok(low_latency == nullptr ? ep4j_buffer_create(&config, &buffer)
                            : ep4j_buffer_create_low_latency(&config, low_latency, &buffer),
     "making a buffer");
  return buffer;
}

}  // namespace

RankEnd::RankEnd(const ep4j_buffer_config& config, const ep4j_low_latency_config* low_latency,
                 const ep4j_internode_config* internode, size_t scratch_bytes)
    : RankEnd(config.rank, config.device, make_buffer(config, low_latency, internode),
              scratch_bytes) {}

RankEnd::RankEnd(int own_rank, int own_device, ep4j_buffer* made_buffer, size_t scratch_bytes)
    : rank(own_rank), device(own_device), buffer(made_buffer), scratch(scratch_bytes) {
  void* made = nullptr;
  ok(ep4j_stream_create(device, 0, &made), "making a stream");
  stream = static_cast<cudaStream_t>(made);
}

RankEnd::~RankEnd() {
  if (buffer != nullptr) {
    ep4j_buffer_destroy(buffer, 0);
  }
  if (stream != nullptr) {
    ep4j_stream_destroy(device, stream);
  }
}

ep4j_error_record RankEnd::fault() {
  ep4j_error_record record = {};
  record.struct_size = sizeof record;
  ok(ep4j_error(buffer, &record), "reading the fault");
  return record;
}

void RankEnd::expect_no_fault() {
  ep4j_error_record record = fault();
  expect(record.fault == EP4J_FAULT_NONE, "rank ", rank, ": fault ", record.fault, " at stage ",
         record.stage, ", peer ", record.peer, ", origin ", record.origin, ", expected ",
         record.expected, ", seen ", record.seen);
}

World::World(const Case& c, int regions, int outputs, bool mask_on_timeout, size_t scratch_bytes,
             const ep4j_low_latency_config* low_latency)
    : barrier_(c.ranks) {
  std::vector<ep4j_window_name> names;
  for (int rank = 0; rank < c.ranks; rank++) {
    const ep4j_internode_config internode = internode_config(c, rank);
    ends_.push_back(std::make_unique<RankEnd>(
        buffer_config(c, rank, regions, outputs, mask_on_timeout), low_latency,
        c.nodes() > 1 ? &internode : nullptr, scratch_bytes));
    names.emplace_back();
    ok(ep4j_buffer_window(ends_.back()->buffer, &names.back()), "naming a window");
  }
  for (auto& end : ends_) {
    ok(ep4j_buffer_connect(end->buffer, names.data()), "connecting");
  }
}

World::~World() {
  for (auto& end : ends_) {
    ep4j_buffer_disconnect(end->buffer);
  }
}

void World::run(const std::function<void(RankEnd&)>& body) {
  std::vector<std::string> failures(ends_.size());
  Watchdog watchdog(ends_);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < ends_.size(); i++) {
    threads.emplace_back([&, i] {
      try {
        ends_[i]->scratch.reset();
        body(*ends_[i]);
        ends_[i]->sync();
        ends_[i]->doing = "nothing more";
      } catch (const std::exception& error) {
        failures[i] = error.what();
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  std::string all;
  for (size_t i = 0; i < failures.size(); i++) {
    all += failures[i].empty() ? "" : join("\n  rank ", i, ": ", failures[i]);
  }
  expect(all.empty(), all);
}

int64_t region_bytes(const Case& c, int64_t rows) {
  ep4j_region_form form = {};
  form.struct_size = sizeof form;
  form.order = c.order;
  form.row_bytes = c.row_bytes();
  form.scale_words = c.wire_scale_words();
  form.num_topk = c.topk;
  form.index_bytes = c.index_bytes;
  form.capacity_rows = rows;
  int64_t bytes = 0;
  ok(ep4j_region_bytes(&form, c.ranks, c.experts, &bytes), "sizing a region");
  return bytes;
}

int64_t place_bytes(const Case& c) {
  constexpr int64_t kLine = 128;
  return (std::max(region_bytes(c, c.rows()), output_bytes(c)) + kLine - 1) / kLine * kLine;
}

void place_region(RankEnd& end, const Case& c, int region, int place) {
  ok(ep4j_region_place(end.buffer, region, place * place_bytes(c), place_bytes(c)),
     "placing a region");
}

void place_output(RankEnd& end, const Case& c, int output, int place) {
  ok(ep4j_output_place(end.buffer, output, place * place_bytes(c), place_bytes(c)),
     "placing an output");
}

DeviceInput upload_input(RankEnd& end, const Case& c, const RankInput& input) {
  DeviceInput device = {};
  device.x = end.upload(input.x);
  const size_t words = static_cast<size_t>(c.scale_words);
  if (words > 0) {
    device.scales =
        end.upload(c.column_major_scales ? by_column(input.scales, words) : input.scales);
  }
  device.topk_idx = c.index_bytes == 8 ? static_cast<void*>(end.upload(input.topk_idx))
                                       : static_cast<void*>(end.upload(narrow(input.topk_idx)));
  device.topk_weights = c.weights ? end.upload(input.topk_weights) : nullptr;
  return device;
}

int num_sms_of(const Case& c, int rank) {
  const int asked = c.num_sms + rank;
  if (c.nodes() == 1) {
    return asked;
  }
  ep4j_device device = {};
  device.struct_size = sizeof device;
  ok(ep4j_device_info(0, &device), "asking for the device");
  return std::min(asked, device.num_sms / c.ranks);
}

ep4j_dispatch_call cached_call(const Case& c, int rank, const DeviceInput& input, int region,
                               int handle) {
  ep4j_dispatch_call call = {};
  call.struct_size = sizeof call;
  call.x = input.x;
  call.scales = input.scales;
  call.num_tokens = c.tokens[static_cast<size_t>(rank)];
  call.scale_stride_token = c.column_major_scales ? 1 : c.scale_words;
  call.scale_stride_word = c.column_major_scales ? call.num_tokens : 1;
  call.hidden = c.hidden;
  call.dtype = c.dtype;
  call.cast = c.cast;
  call.scale_words = c.scale_words;
  call.order = c.order;
  call.alignment = c.alignment;
  call.zero_fill = c.zero_fill;
  call.region = region;
  call.handle = handle;
  call.num_sms = num_sms_of(c, rank);
  call.capacity_rows = c.rows();
  call.timeout_nanos = kTimeoutNanos;
  return call;
}

ep4j_dispatch_call dispatch_call(const Case& c, int rank, const DeviceInput& input, int region,
                                 int handle, uint64_t ticket) {
  ep4j_dispatch_call call = cached_call(c, rank, input, region, handle);
  call.topk_idx = input.topk_idx;
  call.topk_weights = input.topk_weights;
  call.index_bytes = c.index_bytes;
  call.num_topk = c.topk;
  call.bounded = c.bounded;
  call.ticket = ticket;
  return call;
}

ep4j_dispatch_result issue(RankEnd& end, const ep4j_dispatch_call& call) {
  ep4j_dispatch_result result = {};
  result.struct_size = sizeof result;
  ok(ep4j_dispatch(end.buffer, &call, &result, end.stream), "dispatch");
  ok(ep4j_dispatch_receive(end.buffer, call.region, call.timeout_nanos, end.stream), "receive");
  return result;
}

void expect_fault(const ep4j_error_record& record, int fault, int stage, int peer, int origin) {
  expect(record.fault == fault && record.stage == stage && record.peer == peer &&
             record.origin == origin,
         "fault ", record.fault, " at stage ", record.stage, ", peer ", record.peer, ", origin ",
         record.origin, "; expected ", fault, " at ", stage, ", peer ", peer, ", origin ", origin);
}

Case three_ranks() {
  Case c;
  c.ranks = 3;
  c.experts = 6;
  c.topk = 2;
  c.hidden = 64;
  c.tokens = {5, 9, 7};
  return c;
}

std::vector<RankInput> without(const Case& c, std::vector<RankInput> inputs, int rank) {
  for (RankInput& input : inputs) {
    for (int64_t& expert : input.topk_idx) {
      expert = expert / c.local_experts() == rank ? -1 : expert;
    }
  }
  inputs[static_cast<size_t>(rank)].topk_idx.assign(
      inputs[static_cast<size_t>(rank)].topk_idx.size(), -1);
  return inputs;
}

void Milestone::await(int times) const {
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (reached_ < times) {
    expect(std::chrono::steady_clock::now() < limit, "waited 30 s for ", times, " ranks, saw ",
           reached_.load());
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
}

ep4j_counts await_counts(RankEnd& end, const Case& c, uint64_t ticket,
                         std::vector<int32_t>& tokens_per_expert) {
  ep4j_counts counts = {};
  counts.struct_size = sizeof counts;
  tokens_per_expert.assign(static_cast<size_t>(c.local_experts()), -1);
  end.doing = "waiting for counts";
  ok(ep4j_dispatch_counts(end.buffer, ticket, 2 * kTimeoutNanos, &counts, tokens_per_expert.data()),
     "waiting for counts");
  if (counts.verdict == EP4J_ABORTED) {
    end.expect_no_fault();  // says why
  }
  return counts;
}

Received read_result(RankEnd& end, const Case& c, const ep4j_dispatch_result& result, int rows,
                     bool metadata) {
  const size_t count = static_cast<size_t>(rows);
  const size_t experts = static_cast<size_t>(c.local_experts());
  const size_t choices = count * static_cast<size_t>(c.topk);
  Received got;
  got.num_received = rows;
  got.x = end.download<uint8_t>(result.x, count * static_cast<size_t>(c.row_bytes()));
  if (result.scales != nullptr) {
    got.scales =
        end.download<uint32_t>(result.scales, count * static_cast<size_t>(c.wire_scale_words()));
  }
  if (!metadata) {
    return got;
  }
  got.source_token = end.download<int32_t>(result.source_token, count);
  got.tokens_per_expert = end.download<int32_t>(result.tokens_per_expert, experts);
  if (!c.rank_major()) {
    got.expert_offsets = end.download<int32_t>(result.expert_offsets, experts + 1);
    got.weight = end.download<float>(result.weight, count);
    got.source_rank = end.download<int32_t>(result.source_rank, count);
    got.topk_slot = end.download<int32_t>(result.topk_slot, count);
    return got;
  }
  got.topk_weights = end.download<float>(result.topk_weights, choices);
  got.rank_prefix = end.download<int32_t>(result.rank_prefix, static_cast<size_t>(c.ranks));
  if (c.index_bytes == 8) {
    got.topk_idx = end.download<int64_t>(result.topk_idx, choices);
  } else {
    std::vector<int32_t> indices = end.download<int32_t>(result.topk_idx, choices);
    got.topk_idx.assign(indices.begin(), indices.end());
  }
  return got;
}

}  // namespace ep4j::test
