// The smallest test harness that says what failed, where, and with which values.
#pragma once

#include <atomic>
#include <cstdio>
#include <functional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

namespace ep4j::test {

class CheckFailed : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <class... Parts>
std::string join(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

// Throws if the condition does not hold; the parts are its message.
template <class... Parts>
void expect(bool holds, const Parts&... parts) {
  if (!holds) {
    throw CheckFailed(join(parts...));
  }
}

// Counts cases and prints each as it begins and ends, so that a hang shows where.
class Suite {
 public:
  static constexpr int kMostFailures = 8;

  // Of all cases those with this text in their names.
  explicit Suite(std::string only = "") : only_(std::move(only)) {}

  // Runs a case, unless so many failed that the rest would only burn time.
  void run(const std::string& name, const std::function<void()>& body) {
    if (name.find(only_) == std::string::npos) {
      return;
    }
    if (failed_ >= kMostFailures) {
      left_out_++;
      return;
    }
    std::printf("%s ... ", name.c_str());
    std::fflush(stdout);
    try {
      body();
      passed_++;
      std::printf("ok\n");
    } catch (const std::exception& error) {
      failed_++;
      std::printf("FAILED: %s\n", error.what());
    }
    std::fflush(stdout);
  }

  // The exit code: a suite that ran nothing fails.
  int finish() const {
    std::printf("%d passed, %d failed, %d left out\n", passed_, failed_, left_out_);
    return failed_ == 0 && passed_ > 0 ? 0 : 1;
  }

 private:
  const std::string only_;
  int passed_ = 0;
  int failed_ = 0;
  int left_out_ = 0;
};

}  // namespace ep4j::test
