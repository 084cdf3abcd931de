// A message with one writer: its payload is stored first, then its tag with release; the reader
// loads the tag with acquire, then the payload.
#pragma once

#include "device/ptx/memory.cuh"
#include "layout/messages.hpp"

namespace ep4j {

template <class Message>
struct Published {
  Message* record;

  // After this thread's stores to the payload, and those that a barrier put before it.
  __device__ void publish(uint64_t tag) const { ptx::store_release_system(&record->tag, tag); }

  // The tag; what was stored before it may be read from here on.
  __device__ uint64_t seen() const { return ptx::load_acquire_system(&record->tag); }
};

}  // namespace ep4j
