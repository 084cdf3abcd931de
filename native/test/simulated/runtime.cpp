// The part of the CUDA runtime that the library and its tests use, over the memory and threads of a
// host. A stream is a thread that does its work in order; a kernel's blocks run in parallel.
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "fibers.hpp"
#include "warp.hpp"

namespace {

using Work = std::function<void()>;

class Stream {
 public:
  Stream() : thread_([this] { serve(); }) { thread_.detach(); }

  void add(Work work) {
    if (capture_ != nullptr) {
      capture_->push_back(std::move(work));
      return;
    }
    std::scoped_lock lock(mutex_);
    queue_.push_back(std::move(work));
    added_++;
    changed_.notify_all();
  }
  bool is_idle() {
    std::scoped_lock lock(mutex_);
    return done_ == added_;
  }
  void await() {
    std::unique_lock lock(mutex_);
    const uint64_t wanted = added_;
    changed_.wait(lock, [&] { return done_ >= wanted; });
  }

  std::vector<Work>* capture_ = nullptr;

 private:
  void serve() {
    while (true) {
      Work work;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return !queue_.empty(); });
        work = std::move(queue_.front());
        queue_.pop_front();
      }
      work();
      std::scoped_lock lock(mutex_);
      done_++;
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Work> queue_;
  uint64_t added_ = 0;
  uint64_t done_ = 0;
  std::thread thread_;
};

struct Event {
  std::mutex mutex;
  std::condition_variable changed;
  uint64_t recorded = 0;
  uint64_t reached = 0;
};

std::mutex streams_mutex;
std::vector<Stream*> streams;
std::atomic<uint64_t> launches{0};

Stream* as_stream(cudaStream_t stream) { return reinterpret_cast<Stream*>(stream); }
Event* as_event(cudaEvent_t event) { return reinterpret_cast<Event*>(event); }

uint64_t number_of(const char* variable, uint64_t otherwise) {
  const char* given = std::getenv(variable);
  return given == nullptr ? otherwise : std::strtoull(given, nullptr, 10);
}

uint64_t order_seed() {
  static const uint64_t seed = number_of("EP4J_SIMULATED_SEED", 1);
  return seed;
}

// Few make calls quick that have as many blocks as they may.
int num_sms() {
  static const int sms = static_cast<int>(number_of("EP4J_SIMULATED_SMS", 132));
  return sms;
}

}  // namespace

void simulated::enqueue(const Grid& grid, std::function<void()> kernel) {
  as_stream(grid.stream)->add([=] {
    const uint64_t seed = order_seed() + 1000003 * launches++;
    auto run = [&](unsigned block) {
      std::vector<char> shared(grid.shared_bytes + 128);
      char* aligned = shared.data() + (128 - reinterpret_cast<uint64_t>(shared.data()) % 128);
      run_block(block, grid.blocks, grid.threads, aligned, seed, kernel);
    };
    std::vector<std::thread> blocks;
    for (unsigned block = 1; block < grid.blocks; block++) {
      blocks.emplace_back(run, block);
    }
    run(0);
    for (std::thread& block : blocks) {
      block.join();
    }
  });
}

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) { return *count = 1, cudaSuccess; }
cudaError_t cudaGetDevice(int* device) { return *device = 0, cudaSuccess; }
cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaGetLastError() { return cudaSuccess; }
const char* cudaGetErrorName(cudaError_t) { return "simulated"; }
const char* cudaGetErrorString(cudaError_t) { return "an error of the simulated device"; }
cudaError_t cudaDriverGetVersion(int* version) { return *version = 13000, cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int* version) { return *version = 13000, cudaSuccess; }
cudaError_t cudaDeviceCanAccessPeer(int* can, int, int) { return *can = 1, cudaSuccess; }
cudaError_t cudaDeviceEnablePeerAccess(int, unsigned) { return cudaSuccess; }
cudaError_t cudaDeviceGetP2PAttribute(int* value, cudaDeviceP2PAttr, int, int) {
  return *value = 1, cudaSuccess;
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  return *least = *greatest = 0, cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount: *value = num_sms(); break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = 160 << 10; break;
    case cudaDevAttrComputeCapabilityMajor: *value = 8; break;
    default: *value = 0;
  }
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  std::memset(properties, 0, sizeof *properties);
  std::strcpy(properties->name, "simulated");
  properties->major = 8;
  properties->multiProcessorCount = num_sms();
  properties->totalGlobalMem = size_t{1} << 34;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** address, size_t bytes) {
  *address = std::aligned_alloc(256, (bytes + 511) / 256 * 256);
  if (*address != nullptr) {
    std::memset(*address, 0xA5, (bytes + 255) / 256 * 256);  // what nobody has written is not zero
  }
  return *address == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
}
cudaError_t cudaFree(void* address) { return std::free(address), cudaSuccess; }
cudaError_t cudaHostAlloc(void** address, size_t bytes, unsigned) {
  return cudaMalloc(address, bytes);
}
cudaError_t cudaFreeHost(void* address) { return cudaFree(address); }
cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned) {
  return *device = host, cudaSuccess;
}
cudaError_t cudaMemset(void* address, int value, size_t bytes) {
  return std::memset(address, value, bytes), cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind,
                            cudaStream_t stream) {
  // As with pageable memory: the source may change at once.
  auto copy = std::make_shared<std::vector<char>>();
  const bool read_later = as_stream(stream)->is_idle() == false;
  if (read_later) {
    as_stream(stream)->add([=] { std::memcpy(to, from, bytes); });
  } else {
    copy->assign(static_cast<const char*>(from), static_cast<const char*>(from) + bytes);
    as_stream(stream)->add([=] { std::memcpy(to, copy->data(), bytes); });
  }
  return cudaSuccess;
}
cudaError_t cudaIpcGetMemHandle(cudaIpcMemHandle_t*, void*) { return cudaErrorNotSupported; }
cudaError_t cudaIpcOpenMemHandle(void**, cudaIpcMemHandle_t, unsigned) {
  return cudaErrorNotSupported;
}
cudaError_t cudaIpcCloseMemHandle(void*) { return cudaErrorNotSupported; }
cudaError_t cudaMemPoolCreate(cudaMemPool_t*, const cudaMemPoolProps*) { return cudaSuccess; }
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) { return cudaSuccess; }
cudaError_t cudaMallocFromPoolAsync(void** address, size_t bytes, cudaMemPool_t, cudaStream_t) {
  return cudaMalloc(address, bytes);
}
cudaError_t cudaFreeAsync(void* address, cudaStream_t stream) {
  as_stream(stream)->add([=] { std::free(address); });
  return cudaSuccess;
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind) {
  return std::memcpy(to, from, bytes), cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* address, int value, size_t bytes, cudaStream_t stream) {
  as_stream(stream)->add([=] { std::memset(address, value, bytes); });
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  while (cudaEventQuery(event) == cudaErrorNotReady) {
    std::this_thread::yield();
  }
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned, int) {
  Stream* made = new Stream;
  std::scoped_lock lock(streams_mutex);
  streams.push_back(made);
  *stream = reinterpret_cast<cudaStream_t>(made);
  return cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return as_stream(stream)->is_idle() ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return as_stream(stream)->await(), cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  std::vector<Stream*> all;
  {
    std::scoped_lock lock(streams_mutex);
    all = streams;
  }
  for (Stream* stream : all) {
    stream->await();
  }
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  return *event = reinterpret_cast<cudaEvent_t>(new Event), cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }
cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }  // work may still name it
cudaError_t cudaEventElapsedTime(float* millis, cudaEvent_t, cudaEvent_t) {
  return *millis = 0, cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  Event* own = as_event(event);
  std::unique_lock lock(own->mutex);
  const uint64_t number = ++own->recorded;
  lock.unlock();
  as_stream(stream)->add([=] {
    std::scoped_lock lock(own->mutex);
    own->reached = std::max(own->reached, number);
    own->changed.notify_all();
  });
  return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  Event* own = as_event(event);
  std::scoped_lock lock(own->mutex);
  return own->reached == own->recorded ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  Event* own = as_event(event);
  std::unique_lock lock(own->mutex);
  const uint64_t number = own->recorded;
  lock.unlock();
  as_stream(stream)->add([=] {
    std::unique_lock lock(own->mutex);
    own->changed.wait(lock, [&] { return own->reached >= number; });
  });
  return cudaSuccess;
}

// A graph is a list of work.
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  *status = as_stream(stream)->capture_ == nullptr ? cudaStreamCaptureStatusNone
                                                   : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  return as_stream(stream)->capture_ = new std::vector<Work>, cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = reinterpret_cast<cudaGraph_t>(as_stream(stream)->capture_);
  return as_stream(stream)->capture_ = nullptr, cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* made, cudaGraph_t graph, unsigned long long) {
  *made = reinterpret_cast<cudaGraphExec_t>(
      new std::vector<Work>(*reinterpret_cast<std::vector<Work>*>(graph)));
  return cudaSuccess;
}
cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
  for (const Work& work : *reinterpret_cast<std::vector<Work>*>(graph)) {
    as_stream(stream)->add(work);
  }
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t) { return cudaSuccess; }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t) { return cudaSuccess; }
}
