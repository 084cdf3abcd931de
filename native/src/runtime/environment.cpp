#include "runtime/environment.hpp"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

namespace ep4j {
namespace {

constexpr int kDriversConnections = 8;  // where the variable is not set
constexpr int kMostConnections = 32;

struct Settings {
  int connections;
  bool eager;
};

Settings read_settings() {
  const char* connections = std::getenv("CUDA_DEVICE_MAX_CONNECTIONS");
  const char* loading = std::getenv("CUDA_MODULE_LOADING");
  const int wanted = connections == nullptr ? kDriversConnections : std::atoi(connections);
  return {wanted < 1 ? kDriversConnections : (wanted > kMostConnections ? kMostConnections : wanted),
          loading != nullptr && std::strcmp(loading, "EAGER") == 0};
}

// Bit d: device d has a context already. Asks the driver only if somebody has loaded it: else there
// are none, and this library must load where there is no driver.
uint64_t find_contexts() {
  void* driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
  if (driver == nullptr) {
    return 0;
  }
  using GetDevice = int (*)(int* device, int ordinal);
  using GetState = int (*)(int device, unsigned int* flags, int* active);
  const auto get_device = reinterpret_cast<GetDevice>(dlsym(driver, "cuDeviceGet"));
  const auto get_state = reinterpret_cast<GetState>(dlsym(driver, "cuDevicePrimaryCtxGetState"));
  uint64_t contexts = 0;
  for (int ordinal = 0; get_device != nullptr && get_state != nullptr && ordinal < 64; ordinal++) {
    int device = 0;
    unsigned int flags = 0;
    int active = 0;
    // A driver that nobody has initialised says so here: then there are no contexts either.
    if (get_device(&device, ordinal) != 0 || get_state(device, &flags, &active) != 0) {
      break;
    }
    contexts |= active != 0 ? uint64_t{1} << ordinal : 0;
  }
  dlclose(driver);
  return contexts;
}

// Whether processes share devices through NVIDIA MPS: its control pipe is there.
bool mps_is_on() {
  const char* folder = std::getenv("CUDA_MPS_PIPE_DIRECTORY");
  const std::string pipe = std::string(folder == nullptr ? "/tmp/nvidia-mps" : folder) + "/control";
  return access(pipe.c_str(), F_OK) == 0;
}

// Before this library set anything.
Settings before_load;
uint64_t contexts_before_load;

// The driver reads these when it makes a context, and a JVM can't set its own environment. Eager
// loading: a lazy load can wait for a running kernel that waits for a peer. Connections: streams
// that share one hardware queue run in order, and a kernel that waits would hold up the one it waits
// for; two streams a rank are used. Under MPS the queues of all processes come out of one stock, in
// which the fourth process with 32 found none left ("out of memory", on an H100); ranks are
// processes there, and the driver's default is enough for each.
__attribute__((constructor)) void set_context_environment() {
  before_load = read_settings();
  contexts_before_load = find_contexts();
  setenv("CUDA_MODULE_LOADING", "EAGER", 0);
  if (!mps_is_on()) {
    setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 0);
  }
}

}  // namespace

ContextSettings context_settings(int device) {
  const bool made_before = device < 64 && (contexts_before_load >> device & 1) != 0;
  const Settings settings = made_before ? before_load : read_settings();
  return {settings.connections, settings.eager, made_before};
}

}  // namespace ep4j
