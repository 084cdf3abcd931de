// Ranks as threads of this process on one device, each with a buffer, a stream and scratch memory.
#pragma once

#include <cuda_runtime_api.h>

#include <barrier>
#include <functional>
#include <memory>
#include <vector>

#include "check.hpp"
#include "oracle.hpp"

namespace ep4j::test {

// Prints what the tests run on; false, with the reason printed, if there is no device.
bool print_device();

// Throws with the library's text.
void ok(ep4j_status status, const char* what);
void ok(cudaError_t error, const char* what);

// Device memory that is handed out and never given back before the end: allocating or freeing while
// a peer's kernel waits could wait for that kernel.
class Arena {
 public:
  explicit Arena(size_t bytes);
  ~Arena();
  Arena(const Arena&) = delete;

  char* take(size_t bytes);
  void reset() { used_ = 0; }

 private:
  char* base_ = nullptr;
  size_t bytes_;
  size_t used_ = 0;
};

// One rank, as its thread sees it.
class RankEnd {
 public:
  // low_latency is null for a buffer without that mode, internode for ranks of one node.
  RankEnd(const ep4j_buffer_config& config, const ep4j_low_latency_config* low_latency,
          const ep4j_internode_config* internode, size_t scratch_bytes);
  // Of a buffer that is made.
  RankEnd(int rank, int device, ep4j_buffer* buffer, size_t scratch_bytes);
  ~RankEnd();
  RankEnd(const RankEnd&) = delete;

  // Copies are issued to an idle stream: one that waited behind a kernel would hold up the copy
  // engine's queue for ranks that this kernel waits for.
  template <class T>
  T* upload(const std::vector<T>& values) {
    sync();
    doing = "uploading";
    T* device = reinterpret_cast<T*>(scratch.take(sizeof(T) * values.size()));
    ok(cudaMemcpyAsync(device, values.data(), sizeof(T) * values.size(), cudaMemcpyHostToDevice,
                       stream),
       "uploading");
    sync();
    return device;
  }
  template <class T>
  std::vector<T> download(const void* device, size_t count) {
    sync();
    doing = "downloading";
    std::vector<T> values(count);
    ok(cudaMemcpyAsync(values.data(), device, sizeof(T) * count, cudaMemcpyDeviceToHost, stream),
       "downloading");
    sync();
    return values;
  }
  void sync() {
    const char* before = doing.exchange("synchronizing");
    ok(cudaStreamSynchronize(stream), "synchronizing");
    doing = before;
  }

  // The fault that the device reported, if any.
  ep4j_error_record fault();

  // Fails if the device reported a fault.
  void expect_no_fault();

  const int rank;
  const int device;
  ep4j_buffer* buffer = nullptr;
  cudaStream_t stream = nullptr;
  Arena scratch;
  std::atomic<const char*> doing{"nothing"};  // what the watchdog tells
};

constexpr int64_t kTimeoutNanos = 10'000'000'000;

// A rank's buffer for a case.
ep4j_buffer_config buffer_config(const Case& c, int rank, int regions, int outputs, bool mask);

// What several nodes need; the seed is the rank's own.
ep4j_internode_config internode_config(const Case& c, int rank);

// Ranks whose buffers are made for a case, of which some are here.
class Ranks {
 public:
  virtual ~Ranks() = default;

  // Runs the body for each rank that is here; throws what failed, also elsewhere.
  virtual void run(const std::function<void(RankEnd&)>& body) = 0;

  // Returns once every rank is here; from within run.
  virtual void meet() = 0;
};

// All of them, one thread each.
class World : public Ranks {
 public:
  explicit World(const Case& c, int regions = 2, int outputs = 2, bool mask_on_timeout = false,
                 size_t scratch_bytes = size_t{96} << 20,
                 const ep4j_low_latency_config* low_latency = nullptr);
  ~World() override;
  World(const World&) = delete;

  void run(const std::function<void(RankEnd&)>& body) override;
  void meet() override { barrier_.arrive_and_wait(); }

  RankEnd& end(int rank) { return *ends_[static_cast<size_t>(rank)]; }

 private:
  std::vector<std::unique_ptr<RankEnd>> ends_;
  std::barrier<> barrier_;
};

// Something that ranks' threads tell each other, apart from the buffers.
class Milestone {
 public:
  void reach() { reached_++; }

  // Returns once it was reached so many times; throws if that takes suspiciously long.
  void await(int times) const;

 private:
  std::atomic<int> reached_{0};
};

// Bytes of a region with metadata.
int64_t region_bytes(const Case& c, int64_t rows);

// Bytes that any region and any output of a case fits in.
int64_t place_bytes(const Case& c);

// Gives a region or an output one of the arena's four places.
void place_region(RankEnd& end, const Case& c, int region, int place);
void place_output(RankEnd& end, const Case& c, int output, int place);

// Tensors of one rank on the device.
struct DeviceInput {
  void* x;
  void* scales;
  void* topk_idx;
  float* topk_weights;
};
DeviceInput upload_input(RankEnd& end, const Case& c, const RankInput& input);

// Multiprocessors of a rank's calls, which may differ by rank; across nodes no more than its share of
// the device.
int num_sms_of(const Case& c, int rank);

// A counted or cached dispatch call of a case, without timeouts and indices to think about.
ep4j_dispatch_call dispatch_call(const Case& c, int rank, const DeviceInput& input, int region,
                                 int handle, uint64_t ticket);
ep4j_dispatch_call cached_call(const Case& c, int rank, const DeviceInput& input, int region,
                               int handle);

// Both halves of a dispatch.
ep4j_dispatch_result issue(RankEnd& end, const ep4j_dispatch_call& call);

// Fails unless a fault is as expected.
void expect_fault(const ep4j_error_record& record, int fault, int stage, int peer, int origin);

// A small case for tests in which ranks behave differently.
Case three_ranks();
constexpr int64_t kShortNanos = 300'000'000;

// Inputs as they are seen where a rank does not take part.
std::vector<RankInput> without(const Case& c, std::vector<RankInput> inputs, int rank);

// Waits on the host for the counts.
ep4j_counts await_counts(RankEnd& end, const Case& c, uint64_t ticket,
                         std::vector<int32_t>& tokens_per_expert);

// Reads a received result back; rows says how many.
Received read_result(RankEnd& end, const Case& c, const ep4j_dispatch_result& result, int rows,
                     bool metadata);

}  // namespace ep4j::test
