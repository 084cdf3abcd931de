#include "runtime/window.hpp"

#include <sys/random.h>

#include <cstring>
#include <fstream>
#include <utility>

namespace ep4j {
namespace {

// Tells processes apart, also across containers, where process ids repeat.
struct ProcessId {
  unsigned char bytes[16];

  ProcessId() {
    if (getrandom(bytes, sizeof bytes, 0) != static_cast<ssize_t>(sizeof bytes)) {
      throw StatusError(EP4J_INTERNAL, "getrandom gave too few bytes");
    }
  }
};

void read_boot_id(unsigned char (&host)[40]) {
  std::memset(host, 0, sizeof host);
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  file.read(reinterpret_cast<char*>(host), 36);
}

void enable_peer_access(int peer_device, int rank) {
  int device = 0;
  check(cudaGetDevice(&device), "reading the current device");
  int possible = 0;
  check(cudaDeviceCanAccessPeer(&possible, device, peer_device), "asking for peer access");
  require(possible != 0, "device ", device, " must be able to access device ", peer_device,
          " of rank ", rank, ", and it can't");
  cudaError_t error = cudaDeviceEnablePeerAccess(peer_device, 0);
  if (error == cudaErrorPeerAccessAlreadyEnabled) {
    cudaGetLastError();  // not a failure; don't leave it for the next launch to find
    return;
  }
  check(error, "enabling peer access");
}

}  // namespace

WindowName name_window(void* window, uint64_t bytes, int device, uint64_t config_digest) {
  static const ProcessId process;
  WindowName name = {};
  name.abi_version = EP4J_ABI_VERSION;
  name.config_digest = config_digest;
  std::memcpy(name.process, process.bytes, sizeof name.process);
  read_boot_id(name.host);
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, device), "reading device properties");
  static_assert(sizeof name.uuid == sizeof properties.uuid);
  std::memcpy(name.uuid, &properties.uuid, sizeof name.uuid);
  name.address = reinterpret_cast<uint64_t>(window);
  name.bytes = bytes;
  name.device = device;
  name.has_ipc_handle = cudaIpcGetMemHandle(&name.ipc_handle, window) == cudaSuccess;
  if (name.has_ipc_handle == 0) {
    cudaGetLastError();  // ranks of other processes will be told by name
  }
  return name;
}

bool same_process(const WindowName& own, const WindowName& peer) {
  return std::memcmp(own.process, peer.process, sizeof own.process) == 0;
}

bool same_device(const WindowName& own, const WindowName& peer) {
  return std::memcmp(own.uuid, peer.uuid, sizeof own.uuid) == 0;
}

void require_alike(const WindowName& own, const WindowName& peer, int rank) {
  require(peer.abi_version == own.abi_version, "rank ", rank, " must have ABI version ",
          own.abi_version, ": ", peer.abi_version);
  require(peer.config_digest == own.config_digest, "rank ", rank,
          " must have made its buffer with the same configuration");
}

MappedWindow::MappedWindow(const WindowName& own, const WindowName& peer, int rank) {
  require_alike(own, peer, rank);
  if (same_process(own, peer)) {
    if (peer.device != own.device) {
      enable_peer_access(peer.device, rank);
    }
    address_ = reinterpret_cast<char*>(peer.address);
    return;
  }
  require(std::memcmp(own.host, peer.host, sizeof own.host) == 0, "rank ", rank,
          " must be on this host: this library reaches peers by loads and stores only");
  require(peer.has_ipc_handle != 0, "rank ", rank,
          " must be able to share device memory between processes (CUDA IPC), and it can't");
  void* mapped = nullptr;
  check(cudaIpcOpenMemHandle(&mapped, peer.ipc_handle, cudaIpcMemLazyEnablePeerAccess),
        "mapping a peer's window");
  address_ = static_cast<char*>(mapped);
  opened_ = true;
}

MappedWindow::MappedWindow(MappedWindow&& other) noexcept
    : address_(std::exchange(other.address_, nullptr)),
      opened_(std::exchange(other.opened_, false)) {}

MappedWindow& MappedWindow::operator=(MappedWindow&& other) noexcept {
  std::swap(address_, other.address_);
  std::swap(opened_, other.opened_);
  return *this;
}

MappedWindow::~MappedWindow() {
  if (opened_) {
    cudaIpcCloseMemHandle(address_);
  }
}

namespace {

class PeerWindow : public Transport::Window {
 public:
  explicit PeerWindow(int64_t bytes) : memory_(static_cast<size_t>(bytes)) {}
  char* get() const override { return memory_.get(); }
  void abandon() override { memory_.abandon(); }
  MappedWindow map(const WindowName& own, const WindowName& peer, int rank) const override {
    return MappedWindow(own, peer, rank);
  }

 private:
  DeviceMemory memory_;
};

}  // namespace

std::unique_ptr<Transport::Window> PeerTransport::allocate(int64_t bytes) const {
  return std::make_unique<PeerWindow>(bytes);
}

}  // namespace ep4j
