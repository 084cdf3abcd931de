// A rank's window as its peers find it.
#pragma once

#include <cstdint>

#include "runtime/status.hpp"

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
  MappedWindow(const WindowName& own, const WindowName& peer, int rank);
  MappedWindow(MappedWindow&& other) noexcept;
  MappedWindow& operator=(MappedWindow&& other) noexcept;
  ~MappedWindow();

  char* address() const { return address_; }

 private:
  char* address_ = nullptr;
  bool opened_ = false;  // through IPC, and to be closed
};

}  // namespace ep4j
