// Ranks that share a device in a process whose environment makes them wait for each other are
// refused by name. This process's environment is good; others are tried in processes of their own.
#include <cstdlib>
#include <filesystem>

#include "world.hpp"

namespace ep4j::test {
namespace {

void refused_with(const std::string& setting, const std::string& rule) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  const std::string command = setting + " '" + self + "' refusal " + rule;
  const int status = std::system(command.c_str());
  expect(status == 0, command, " ended with ", status);
}

}  // namespace

// Run in a process with a bad environment: two ranks on one device are refused, naming a rule; one
// rank is not. Returns the exit status.
int expect_refusal(const char* rule) {
  Case c;
  c.experts = 4;
  c.tokens = {3};
  c.ranks = 1;
  try {
    World alone(c, 2, 2, false, size_t{1} << 20);
  } catch (const std::exception& error) {
    std::printf("one rank is refused: %s\n", error.what());
    return 2;
  }
  c.ranks = 2;
  c.tokens = {3, 3};
  try {
    World world(c, 2, 2, false, size_t{1} << 20);
  } catch (const std::exception& error) {
    const bool named = std::string(error.what()).find(rule) != std::string::npos;
    std::printf("%s: %s\n", named ? "refused" : "refused for another reason", error.what());
    return named ? 0 : 3;
  }
  std::printf("two ranks are not refused\n");
  return 1;
}

void environment_tests(Suite& suite) {
  suite.run("environment: lazy loading is refused for two ranks on a device", [] {
    refused_with("CUDA_MODULE_LOADING=LAZY", "CUDA_MODULE_LOADING");
  });
  suite.run("environment: three connections are refused for two ranks on a device", [] {
    refused_with("CUDA_DEVICE_MAX_CONNECTIONS=3", "CUDA_DEVICE_MAX_CONNECTIONS");
  });
}

}  // namespace ep4j::test
