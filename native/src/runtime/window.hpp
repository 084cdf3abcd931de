// A rank's window, and as its peers find it.
#pragma once

#include <cstdint>
#include <memory>

#include "runtime/memory.hpp"

namespace ep4j {

// What an ep4j_window_name holds. Ranks of one process use the address itself, ranks of other
// processes on the same host the IPC handle.
struct WindowName {
  uint64_t abi_version;
  uint64_t config_digest;     // of what must be equal on all ranks
  unsigned char process[16];  // drawn once per process
  unsigned char host[40];     // boot id
  unsigned char uuid[16];     // of the device, the same in every process
  uint64_t address;
  uint64_t bytes;
  int32_t device;
  int32_t has_ipc_handle;
  cudaIpcMemHandle_t ipc_handle;
};
static_assert(sizeof(WindowName) <= EP4J_WINDOW_NAME_BYTES);

// Whether a name is of a rank of this process, and of one on the same device.
bool same_process(const WindowName& own, const WindowName& peer);
bool same_device(const WindowName& own, const WindowName& peer);

// Names a window of the current device.
WindowName name_window(void* window, uint64_t bytes, int device, uint64_t config_digest);

// A peer's window, mapped for the current device.
class MappedWindow {
 public:
  MappedWindow() = default;
  // By address inside a process, through IPC outside.
  MappedWindow(const WindowName& own, const WindowName& peer, int rank);
  // That somebody else has mapped; null if only a network reaches it.
  explicit MappedWindow(char* address) : address_(address) {}
  MappedWindow(MappedWindow&& other) noexcept;
  MappedWindow& operator=(MappedWindow&& other) noexcept;
  ~MappedWindow();

  char* address() const { return address_; }

 private:
  char* address_ = nullptr;
  bool opened_ = false;  // through IPC, and to be closed
};

// Refuses a peer that has another library or has made its buffer otherwise.
void require_alike(const WindowName& own, const WindowName& peer, int rank);

// Where windows come from, and how a rank reaches its peers'.
class Transport {
 public:
  // One rank's window.
  class Window {
   public:
    virtual ~Window() = default;
    virtual char* get() const = 0;

    // Leaves the memory allocated for good.
    virtual void abandon() = 0;

    virtual MappedWindow map(const WindowName& own, const WindowName& peer, int rank) const = 0;
  };

  virtual ~Transport() = default;

  // Whether a peer may be out of reach of loads and stores.
  virtual bool has_network() const = 0;

  virtual std::unique_ptr<Window> allocate(int64_t bytes) const = 0;
};

// Load/store peers: device memory of this process, told by address or IPC handle.
class PeerTransport : public Transport {
 public:
  bool has_network() const override { return false; }
  std::unique_ptr<Window> allocate(int64_t bytes) const override;
};

}  // namespace ep4j
