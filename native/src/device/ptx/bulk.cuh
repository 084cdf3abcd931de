// The bulk-copy engine (sm_90 and later): copies between global and shared memory that one thread
// issues and no thread carries. Loads complete on an mbarrier, stores by the issuing thread's
// groups.
#pragma once

#include <cstdint>

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
#define EP4J_HAS_BULK_COPY 1
#else
#define EP4J_HAS_BULK_COPY 0
#endif

#if EP4J_HAS_BULK_COPY
namespace ep4j::ptx {

__device__ __forceinline__ uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

__device__ __forceinline__ void barrier_init(uint64_t* barrier, uint32_t arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)),
               "r"(arrivals)
               : "memory");
}

// Makes initialised barriers visible to the bulk-copy engine.
__device__ __forceinline__ void fence_barrier_init() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

// Orders this thread's ordinary accesses to shared memory before bulk copies of the same bytes.
__device__ __forceinline__ void fence_proxy_shared() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// The same for global memory.
__device__ __forceinline__ void fence_proxy_global() {
  asm volatile("fence.proxy.async.global;" ::: "memory");
}

__device__ __forceinline__ void barrier_expect(uint64_t* barrier, uint32_t bytes) {
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
      "r"(bytes)
      : "memory");
}

__device__ __forceinline__ void barrier_wait(uint64_t* barrier, uint32_t parity) {
  uint32_t done = 0;
  while (done == 0) {
    asm volatile(
        "{\n"
        ".reg .pred complete;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 complete, [%1], %2;\n"
        "selp.u32 %0, 1, 0, complete;\n"
        "}"
        : "=r"(done)
        : "r"(shared_address(barrier)), "r"(parity)
        : "memory");
  }
}

__device__ __forceinline__ void bulk_load(void* shared, const void* global, uint32_t bytes,
                                          uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(shared_address(shared)),
      "l"(global), "r"(bytes), "r"(shared_address(barrier))
      : "memory");
}

__device__ __forceinline__ void bulk_store(void* global, const void* shared, uint32_t bytes) {
  asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;" ::"l"(global),
               "r"(shared_address(shared)), "r"(bytes)
               : "memory");
}

__device__ __forceinline__ void bulk_commit() {
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}

// The sources of this thread's stores may be overwritten. Says nothing about their destinations.
__device__ __forceinline__ void bulk_wait_sources_read() {
  asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");
}

// The same for all stores but those of this thread's last group.
__device__ __forceinline__ void bulk_wait_earlier_sources_read() {
  asm volatile("cp.async.bulk.wait_group.read 1;" ::: "memory");
}

// This thread's stores are complete and visible to it.
__device__ __forceinline__ void bulk_wait_complete() {
  asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
}

}  // namespace ep4j::ptx
#else
namespace ep4j::ptx {

// Declared only, so that a template can name them in a branch that older devices discard.
__device__ void barrier_init(uint64_t* barrier, uint32_t arrivals);
__device__ void fence_barrier_init();
__device__ void fence_proxy_shared();
__device__ void fence_proxy_global();
__device__ void barrier_expect(uint64_t* barrier, uint32_t bytes);
__device__ void barrier_wait(uint64_t* barrier, uint32_t parity);
__device__ void bulk_load(void* shared, const void* global, uint32_t bytes, uint64_t* barrier);
__device__ void bulk_store(void* global, const void* shared, uint32_t bytes);
__device__ void bulk_commit();
__device__ void bulk_wait_sources_read();
__device__ void bulk_wait_earlier_sources_read();
__device__ void bulk_wait_complete();

}  // namespace ep4j::ptx
#endif
