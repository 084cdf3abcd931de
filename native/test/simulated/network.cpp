// NVSHMEM's functions that the library uses, for PEs that are processes of this host: one file in
// memory holds all heaps, and every PE maps all of it.
//
// A put is done later, by a thread of its own: after a time drawn from a seed, most in microseconds,
// some in milliseconds, in which many others pass it. Its source is read only then, its word changes
// after its bytes, and nothing else has an order. Signals of words alone wait like puts. What a killed
// process had not done is lost.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <thread>

#include "nvshmem.h"
#include "nvshmem_host.h"
#include "warp.hpp"

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kMostPes = 32;
constexpr size_t kHeapBytes = size_t{1} << 30;  // of each PE; only what is written takes memory
constexpr size_t kPageBytes = 4096;

// At the beginning of the file.
struct Shared {
  std::atomic<uint32_t> arrived;  // at the barrier
  std::atomic<uint32_t> barriers;
};
static_assert(sizeof(Shared) <= kPageBytes);

struct Put {
  char* to;
  const char* from;
  size_t bytes;
  uint64_t* word;
  uint64_t value;
  int operation;
};

void fail(const char* what) {
  std::fprintf(stderr, "simulated network: %s\n", what);
  std::abort();
}

class Network {
 public:
  void join(const nvshmemx_init_attr_t& attributes) {
    char path[64];
    int process = 0;
    int file = 0;
    std::memcpy(&process, attributes.id->bytes, sizeof process);
    std::memcpy(&file, attributes.id->bytes + sizeof process, sizeof file);
    std::snprintf(path, sizeof path, "/proc/%d/fd/%d", process, file);
    const int opened = open(path, O_RDWR);
    const size_t bytes = kPageBytes + kHeapBytes * static_cast<size_t>(attributes.ranks);
    void* all = opened < 0 ? MAP_FAILED
                           : mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, opened, 0);
    if (all == MAP_FAILED) {
      fail("the heaps' file can't be mapped");
    }
    close(opened);
    shared_ = static_cast<Shared*>(all);
    heaps_ = static_cast<char*>(all) + kPageBytes;
    pe_ = attributes.rank;
    pes_ = attributes.ranks;
    const char* seed = std::getenv("EP4J_SIMULATED_SEED");
    random_ += 1000003u * (seed == nullptr ? 1 : std::strtoull(seed, nullptr, 10)) +
               static_cast<uint64_t>(pe_);
    std::thread([this] { carry(); }).detach();
    barrier();
  }

  int pe() const { return pe_; }
  int pes() const { return pes_; }

  char* at(const void* own, int pe) const {
    const char* address = static_cast<const char*>(own);
    const char* begin = heaps_ + kHeapBytes * static_cast<size_t>(pe_);
    if (address < begin || address >= begin + kHeapBytes) {
      fail("an address that is not in the heap");
    }
    return heaps_ + kHeapBytes * static_cast<size_t>(pe) + (address - begin);
  }

  void add(const Put& put) {
    std::scoped_lock lock(mutex_);
    const uint64_t bits = draw();
    const uint64_t most_micros = bits % 64 == 0 ? 400'000 : 60;
    waiting_.emplace(Clock::now() + std::chrono::microseconds((bits >> 8) % most_micros), put);
    changed_.notify_all();
  }

  // All puts of this PE are done, then every PE is here. Without a deadline, as the real one.
  void barrier() {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return waiting_.empty() && !busy_; });
    }
    const uint32_t barrier = shared_->barriers;
    if (++shared_->arrived == static_cast<uint32_t>(pes_)) {
      shared_->arrived = 0;
      shared_->barriers++;
    }
    while (shared_->barriers == barrier) {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }

  char* allocate(size_t alignment, size_t bytes) {
    const size_t begin = (used_ + alignment - 1) / alignment * alignment;
    if (begin + bytes > kHeapBytes) {
      return nullptr;
    }
    used_ = begin + bytes;
    blocks_++;
    char* made = heaps_ + kHeapBytes * static_cast<size_t>(pe_) + begin;
    std::memset(made, 0xA5, bytes);  // what nobody has written is not zero
    barrier();
    return made;
  }

  void release() {
    barrier();
    used_ = --blocks_ == 0 ? 0 : used_;
  }

 private:
  uint64_t draw() {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return random_;
  }

  void carry() {
    while (true) {
      Put put;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return !waiting_.empty(); });
        const Clock::time_point due = waiting_.begin()->first;
        if (due > Clock::now()) {  // others may come that are due before
          changed_.wait_until(lock, due);
          continue;
        }
        put = waiting_.begin()->second;
        waiting_.erase(waiting_.begin());
        busy_ = true;
      }
      std::memcpy(put.to, put.from, put.bytes);
      if (put.operation == NVSHMEM_SIGNAL_ADD) {
        __atomic_fetch_add(put.word, put.value, __ATOMIC_ACQ_REL);
      } else {
        __atomic_store_n(put.word, put.value, __ATOMIC_RELEASE);
      }
      std::scoped_lock lock(mutex_);
      busy_ = false;
      changed_.notify_all();
    }
  }

  Shared* shared_ = nullptr;
  char* heaps_ = nullptr;
  int pe_ = 0;
  int pes_ = 0;
  size_t used_ = 0;
  int blocks_ = 0;
  uint64_t random_ = 0x9E3779B97F4A7C15u;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::multimap<Clock::time_point, Put> waiting_;  // by when they are due
  bool busy_ = false;
};

Network& network() {
  static auto* one = new Network();  // its thread lives as long as the process
  return *one;
}

}  // namespace

void nvshmem_putmem_signal_nbi(void* to, const void* from, size_t bytes, uint64_t* word,
                               uint64_t value, int operation, int pe) {
  network().at(from, pe);  // the adapter reads heaps only
  network().add({network().at(to, pe), static_cast<const char*>(from), bytes,
                 reinterpret_cast<uint64_t*>(network().at(word, pe)), value, operation});
}

void nvshmemx_putmem_signal_nbi_warp(void* to, const void* from, size_t bytes, uint64_t* word,
                                     uint64_t value, int operation, int pe) {
  __syncwarp();
  if (simulated::lane() == 0) {
    nvshmem_putmem_signal_nbi(to, from, bytes, word, value, operation, pe);
  }
  __syncwarp();
}

void nvshmemx_signal_op(uint64_t* word, uint64_t value, int operation, int pe) {
  network().add({nullptr, nullptr, 0, reinterpret_cast<uint64_t*>(network().at(word, pe)), value,
                 operation});
}

int nvshmem_uint64_test(uint64_t* word, int, uint64_t value) {
  simulated::give_up_turn();
  return __atomic_load_n(word, __ATOMIC_ACQUIRE) >= value;
}

int nvshmemx_get_uniqueid(nvshmemx_uniqueid_t* id) {
  const int file = memfd_create("heaps", 0);
  if (file < 0 || ftruncate(file, static_cast<off_t>(kPageBytes + kHeapBytes * kMostPes)) != 0) {
    return 1;
  }
  const int process = getpid();
  std::memcpy(id->bytes, &process, sizeof process);
  std::memcpy(id->bytes + sizeof process, &file, sizeof file);
  return 0;
}

int nvshmemx_set_attr_uniqueid_args(int rank, int ranks, const nvshmemx_uniqueid_t* id,
                                    nvshmemx_init_attr_t* attributes) {
  *attributes = {rank, ranks, id};
  return ranks <= kMostPes ? 0 : 1;
}

int nvshmemx_hostlib_init_attr(unsigned, nvshmemx_init_attr_t* attributes) {
  network().join(*attributes);
  return 0;
}

int nvshmemx_init_attr(unsigned, nvshmemx_init_attr_t*) { return 0; }
void nvshmemx_vendor_get_version_info(int* major, int* minor, int* patch) {
  *major = *minor = *patch = 0;
}
int nvshmem_my_pe() { return network().pe(); }
int nvshmem_n_pes() { return network().pes(); }
void* nvshmem_align(size_t alignment, size_t bytes) {
  return network().allocate(alignment, bytes);
}
void nvshmem_free(void*) { network().release(); }
void* nvshmem_ptr(const void* address, int pe) { return network().at(address, pe); }
void nvshmem_finalize() { network().barrier(); }
void nvshmemx_hostlib_finalize() {}
