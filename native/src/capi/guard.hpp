// What every function of the C ABI does around its one call into the runtime.
#pragma once

#include <string>

#include "runtime/status.hpp"

namespace ep4j {

// Text of this thread's last failure.
inline thread_local std::string last_error;

// Turns exceptions into a status and a text.
template <class Action>
ep4j_status guarded(Action action) {
  last_error.clear();
  try {
    return action();
  } catch (const StatusError& error) {
    last_error = error.what();
    return error.status();
  } catch (const std::exception& error) {
    last_error = error.what();
    return EP4J_INTERNAL;
  } catch (...) {
    last_error = "an exception that is no std::exception";
    return EP4J_INTERNAL;
  }
}

template <class Struct>
void require_struct(const Struct* pointer, const char* name) {
  require(pointer != nullptr, name, " must not be NULL");
  require(pointer->struct_size == sizeof(Struct), name, " must have struct_size ", sizeof(Struct),
          ": ", pointer->struct_size);
}

inline void require_given(const void* pointer, const char* name) {
  require(pointer != nullptr, name, " must not be NULL");
}

inline cudaStream_t as_stream(void* stream) { return static_cast<cudaStream_t>(stream); }

}  // namespace ep4j
