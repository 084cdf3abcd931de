// How the runtime refuses: an exception with a status and a text, which the C ABI turns into a
// status and ep4j_last_error().
#pragma once

#include <cuda_runtime_api.h>

#include <sstream>
#include <stdexcept>
#include <string>

#include "ep4j.h"

namespace ep4j {

class StatusError : public std::runtime_error {
 public:
  StatusError(ep4j_status status, const std::string& text)
      : std::runtime_error(text), status_(status) {}

  ep4j_status status() const { return status_; }

 private:
  ep4j_status status_;
};

// Joins the parts of a message.
template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

// A rule of an argument: states the rule and the value.
template <class... Parts>
void require(bool holds, const Parts&... rule_and_value) {
  if (!holds) {
    throw StatusError(EP4J_INVALID_ARGUMENT, text(rule_and_value...));
  }
}

// A call of the CUDA runtime.
inline void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess) {
    throw StatusError(EP4J_CUDA_ERROR, text(what, ": ", cudaGetErrorString(error), " (",
                                            cudaGetErrorName(error), ")"));
  }
}

}  // namespace ep4j
