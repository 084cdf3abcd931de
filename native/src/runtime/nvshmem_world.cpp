#include "runtime/nvshmem_world.hpp"

#include <nvshmem_host.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <future>
#include <string>
#include <thread>

#include "runtime/device.hpp"

namespace ep4j {
namespace {

static_assert(sizeof(nvshmemx_uniqueid_t) == EP4J_NVSHMEM_ID_BYTES);

void give(const char* variable, const std::string& value) {
  setenv(variable, value.c_str(), 1);
}

// Whether some adapter is of the family whose bell a GPU can ring.
bool has_mlx5() {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/class/infiniband", error)) {
    if (entry.path().filename().string().rfind("mlx5", 0) == 0) {
      return true;
    }
  }
  return false;
}

void set_environment(const ep4j_nvshmem_config& config) {
  if (config.service_level >= 0) {
    give("NVSHMEM_IB_SL", text(config.service_level));
  }
  if (config.qps_per_rank > 0) {
    give("NVSHMEM_IBGDA_NUM_RC_PER_PE", text(config.qps_per_rank));
  }
  if (config.ibgda >= 0) {
    give("NVSHMEM_IB_ENABLE_IBGDA", text(config.ibgda));
  } else if (std::getenv("NVSHMEM_IB_ENABLE_IBGDA") == nullptr && has_mlx5()) {
    give("NVSHMEM_IB_ENABLE_IBGDA", "1");
  }
  if (config.heap_bytes > 0) {
    give("NVSHMEM_SYMMETRIC_SIZE", text(config.heap_bytes));
  }
  if (config.hca_list != nullptr) {
    give("NVSHMEM_HCA_LIST", config.hca_list);
  }
}

void require_config(const ep4j_nvshmem_config& config) {
  require(config.num_ranks >= 1 && config.num_ranks <= EP4J_MAX_RANKS,
          "num_ranks must be from 1 to ", EP4J_MAX_RANKS, ": ", config.num_ranks);
  require(config.rank >= 0 && config.rank < config.num_ranks, "rank must be from 0 to ",
          config.num_ranks - 1, ": ", config.rank);
  require(config.service_level >= -1 && config.service_level <= 15,
          "service_level must be from 0 to 15, or -1: ", config.service_level);
  require(config.qps_per_rank >= 0, "qps_per_rank must not be negative: ", config.qps_per_rank);
  require(config.ibgda >= -1 && config.ibgda <= 1, "ibgda must be 0, 1 or -1: ", config.ibgda);
  require(config.heap_bytes >= 0, "heap_bytes must not be negative: ", config.heap_bytes);
  require(config.release_timeout_nanos > 0, "release_timeout_nanos must be positive: ",
          config.release_timeout_nanos);
}

// What NVSHMEM and the C++ library do at an exit assumes that NVSHMEM was finalized. Where it was not, a
// thread of its own reads what they have freed, and after an abandoned free they end the process with
// a status of theirs. So the process ends here then, with its own. Registered after theirs, and
// therefore called before.
void end_at_once(int status, void*) {
  if (NvshmemWorld::instance().is_left_running()) {
    std::fflush(nullptr);
    _exit(status);
  }
}

class NvshmemWindow : public Transport::Window {
 public:
  NvshmemWindow(int64_t bytes, bool force_remote, int rank, int ranks_per_node)
      : bytes_(bytes),
        force_remote_(force_remote),
        rank_(rank),
        ranks_per_node_(ranks_per_node),
        address_(NvshmemWorld::instance().allocate(bytes)) {}
  ~NvshmemWindow() override {
    if (address_ != nullptr) {
      NvshmemWorld::instance().release(address_, bytes_);
    }
  }
  NvshmemWindow(const NvshmemWindow&) = delete;

  char* get() const override { return address_; }

  // Freeing is collective, so a rank that does not take part ends it for good.
  void abandon() override {
    NvshmemWorld::instance().abandon(bytes_);
    address_ = nullptr;
  }

  MappedWindow map(const WindowName& own, const WindowName& peer, int rank) const override {
    require_alike(own, peer, rank);
    if (rank == rank_) {
      return MappedWindow(address_);
    }
    const bool is_near = rank / ranks_per_node_ == rank_ / ranks_per_node_;
    return MappedWindow(force_remote_ && !is_near
                            ? nullptr
                            : NvshmemWorld::instance().reach(address_, rank));
  }

 private:
  const int64_t bytes_;
  const bool force_remote_;
  const int rank_;
  const int ranks_per_node_;
  char* address_;
};

}  // namespace

NvshmemWorld& NvshmemWorld::instance() {
  static auto* world = new NvshmemWorld();  // lives as long as threads left behind may
  return *world;
}

void NvshmemWorld::make_id(ep4j_nvshmem_id& id) const {
  nvshmemx_uniqueid_t made = NVSHMEMX_UNIQUEID_INITIALIZER;
  const int status = nvshmemx_get_uniqueid(&made);
  if (status != 0) {
    throw StatusError(EP4J_INTERNAL, text("NVSHMEM made no unique id: status ", status));
  }
  std::memcpy(id.bytes, &made, sizeof made);
}

// The host's part first: it reports what went wrong, where the whole would end the process.
void NvshmemWorld::start(const ep4j_nvshmem_config& config, const ep4j_nvshmem_id& id) {
  require_config(config);
  require(!running_ && !abandoned_, "NVSHMEM must be started once per process, and it was");
  DeviceScope scope(config.device);
  check(cudaFree(nullptr), "making the device's context");
  set_environment(config);
  nvshmemx_uniqueid_t given;
  std::memcpy(&given, id.bytes, sizeof given);
  nvshmemx_init_attr_t attributes = NVSHMEMX_INIT_ATTR_INITIALIZER;
  int status = nvshmemx_set_attr_uniqueid_args(config.rank, config.num_ranks, &given, &attributes);
  if (status == 0) {
    status = nvshmemx_hostlib_init_attr(NVSHMEMX_INIT_WITH_UNIQUEID, &attributes);
  }
  if (status != 0) {
    throw StatusError(EP4J_INTERNAL,
                      text("NVSHMEM did not start: status ", status,
                           "; NVSHMEM_DEBUG=INFO in the environment tells more"));
  }
  nvshmemx_init_attr(NVSHMEMX_INIT_WITH_UNIQUEID, &attributes);
  require(nvshmem_my_pe() == config.rank && nvshmem_n_pes() == config.num_ranks, "rank ",
          config.rank, " of ", config.num_ranks, " must be that PE, and is ", nvshmem_my_pe(),
          " of ", nvshmem_n_pes());
  config_ = config;
  config_.hca_list = nullptr;  // the caller's
  running_ = true;
  static const int registered = on_exit(end_at_once, nullptr);
  require(registered == 0, "on_exit must register a handler: ", registered);
}

template <class Action>
bool NvshmemWorld::finishes(Action action) const {
  auto done = std::make_shared<std::promise<void>>();
  std::future<void> finished = done->get_future();
  std::thread([done, action, device = config_.device] {
    if (cudaSetDevice(device) == cudaSuccess) {
      action();
    }
    done->set_value();
  }).detach();
  return finished.wait_for(std::chrono::nanoseconds(config_.release_timeout_nanos)) ==
         std::future_status::ready;
}

bool NvshmemWorld::stop() {
  require(running_ && !abandoned_, "NVSHMEM must run, and it does not");
  require(windows_ == 0, "all buffers must be destroyed first: ", windows_, " are left");
  running_ = false;
  abandoned_ = !finishes([] {
    nvshmem_finalize();         // of the device's part
    nvshmemx_hostlib_finalize();
  });
  return !abandoned_;
}

void NvshmemWorld::abandon(int64_t window_bytes) {
  abandoned_ = true;
  running_ = false;
  abandoned_bytes_ += static_cast<uint64_t>(window_bytes);
}

void NvshmemWorld::describe(ep4j_nvshmem_standing& standing) const {
  standing.running = running_;
  standing.abandoned = abandoned_;
  standing.rank = config_.rank;
  standing.num_ranks = config_.num_ranks;
  standing.abandoned_bytes = abandoned_bytes_;
  nvshmemx_vendor_get_version_info(&standing.version[0], &standing.version[1],
                                   &standing.version[2]);
}

void NvshmemWorld::require_running(int rank, int num_ranks) const {
  require(!abandoned_,
          "NVSHMEM was abandoned in this process, after a rank had ended: a new process is needed");
  require(running_, "NVSHMEM must be started first");
  require(rank == config_.rank && num_ranks == config_.num_ranks,
          "the buffer's ranks must be all of NVSHMEM's PEs: rank ", config_.rank, " of ",
          config_.num_ranks, ", not ", rank, " of ", num_ranks);
}

char* NvshmemWorld::allocate(int64_t bytes) {
  constexpr size_t kAlignment = 256;
  void* window = nvshmem_align(kAlignment, static_cast<size_t>(bytes));
  if (window == nullptr) {
    throw StatusError(EP4J_CUDA_ERROR,
                      text("NVSHMEM's symmetric heap has no ", bytes,
                           " bytes for a window: NVSHMEM_SYMMETRIC_SIZE or heap_bytes sizes it"));
  }
  windows_++;
  return static_cast<char*>(window);
}

void NvshmemWorld::release(char* window, int64_t bytes) {
  windows_--;
  if (abandoned_ || !finishes([window] { nvshmem_free(window); })) {
    abandon(bytes);
  }
}

char* NvshmemWorld::reach(char* window, int rank) const {
  return static_cast<char*>(nvshmem_ptr(window, rank));
}

NvshmemTransport::NvshmemTransport(const ep4j_nvshmem_window& window,
                                   const ep4j_buffer_config& buffer, int ranks_per_node)
    : window_(window), rank_(buffer.rank), ranks_per_node_(ranks_per_node) {
  NvshmemWorld::instance().require_running(buffer.rank, buffer.num_ranks);
}

std::unique_ptr<Transport::Window> NvshmemTransport::allocate(int64_t bytes) const {
  require(bytes <= window_.bytes, "the window's bytes must be at least ", bytes, ": ",
          window_.bytes);
  return std::make_unique<NvshmemWindow>(window_.bytes, window_.force_remote != 0, rank_,
                                         ranks_per_node_);
}

}  // namespace ep4j
