#include "runtime/streams.hpp"

#include <map>
#include <mutex>
#include <vector>

#include "kernels/normal/copy_pieces.hpp"
#include "runtime/memory.hpp"

namespace ep4j {
namespace {

// Beyond what the driver puts into the command itself, so that the copy engines are used, too.
constexpr size_t kWarmBytes = 256 << 10;

struct Pool {
  struct Entry {
    cudaStream_t stream;
    int device;
    bool urgent;
    bool taken;
  };

  std::mutex mutex;
  std::vector<Entry> entries;
  std::map<int, DeviceMemory> scratch;  // by device; kept, because freeing waits for the device
};

// Never destroyed: streams may be given back while the process ends.
Pool& pool() {
  static Pool* streams = new Pool;
  return *streams;
}

// With a kernel and with each kind of copy.
void use_once(cudaStream_t stream, char* scratch) {
  std::vector<char> host(kWarmBytes);
  char* other = scratch + kWarmBytes;
  CopyParams pieces = {};
  pieces.add(scratch, other, kWarmBytes);
  check(load_copy_pieces(), "loading the copying kernel");
  check(launch_copy_pieces(pieces, 1, stream), "using a stream");
  check(cudaMemcpyAsync(scratch, host.data(), kWarmBytes, cudaMemcpyDefault, stream),
        "using a stream");
  check(cudaMemcpyAsync(other, scratch, kWarmBytes, cudaMemcpyDefault, stream),
        "using a stream");
  check(cudaMemcpyAsync(host.data(), other, kWarmBytes, cudaMemcpyDefault, stream),
        "using a stream");
  check(cudaStreamSynchronize(stream), "using a stream");
}

cudaStream_t make_stream(bool urgent) {
  int least = 0;
  int greatest = 0;
  check(cudaDeviceGetStreamPriorityRange(&least, &greatest), "reading stream priorities");
  cudaStream_t stream;
  check(cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, urgent ? greatest : least),
        "making a stream");
  return stream;
}

}  // namespace

cudaStream_t take_stream(int device, bool urgent) {
  Pool& streams = pool();
  std::scoped_lock lock(streams.mutex);
  for (Pool::Entry& entry : streams.entries) {
    if (!entry.taken && entry.device == device && entry.urgent == urgent) {
      if (cudaStreamQuery(entry.stream) == cudaSuccess) {
        entry.taken = true;
        return entry.stream;
      }
      cudaGetLastError();  // still busy, or broken: either way not this one
    }
  }
  DeviceMemory& scratch = streams.scratch[device];
  if (scratch.get() == nullptr) {
    scratch = DeviceMemory(2 * kWarmBytes);
  }
  cudaStream_t stream = make_stream(urgent);
  use_once(stream, scratch.get());
  streams.entries.push_back({stream, device, urgent, true});
  return stream;
}

void give_stream(cudaStream_t stream) {
  Pool& streams = pool();
  std::scoped_lock lock(streams.mutex);
  for (Pool::Entry& entry : streams.entries) {
    if (entry.stream == stream) {
      entry.taken = false;
      return;
    }
  }
  throw StatusError(EP4J_INVALID_ARGUMENT, "stream must come from ep4j_stream_create");
}

}  // namespace ep4j
