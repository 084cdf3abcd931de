// A simulated device has no bulk-copy engine: what is named in branches that it never takes.
#pragma once

#include <cstdint>
#include <cstdlib>

#define EP4J_HAS_BULK_COPY 0

namespace ep4j::ptx {

inline void barrier_init(uint64_t*, uint32_t) { std::abort(); }
inline void fence_barrier_init() { std::abort(); }
inline void fence_proxy_shared() { std::abort(); }
inline void fence_proxy_global() { std::abort(); }
inline void barrier_expect(uint64_t*, uint32_t) { std::abort(); }
inline void barrier_wait(uint64_t*, uint32_t) { std::abort(); }
inline void bulk_load(void*, const void*, uint32_t, uint64_t*) { std::abort(); }
inline void bulk_store(void*, const void*, uint32_t) { std::abort(); }
inline void bulk_commit() { std::abort(); }
inline void bulk_wait_sources_read() { std::abort(); }
inline void bulk_wait_earlier_sources_read() { std::abort(); }
inline void bulk_wait_complete() { std::abort(); }

}  // namespace ep4j::ptx
