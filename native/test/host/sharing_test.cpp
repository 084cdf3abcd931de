// When ranks may share a device.
#include "launch/sharing.hpp"

#include <utility>

#include "check.hpp"

namespace ep4j::test {
namespace {

void expect_refusal(const ContextSettings& settings, const DeviceUse& use, const char* rule,
                    const char* value) {
  const std::string text = sharing_refusal(3, settings, use);
  expect(text.find(rule) != std::string::npos && text.find(value) != std::string::npos, "the text '",
         text, "' does not name ", rule, " and ", value);
  expect(text.find("device 3") != std::string::npos, "the text '", text, "' names no device");
}

}  // namespace

void sharing_tests(Suite& suite) {
  suite.run("sharing: one buffer needs nothing of its context", [] {
    expect(sharing_refusal(0, {1, false, true}, {1, 0, 8}).empty(), "one buffer is refused");
    expect(sharing_refusal(0, {1, false, true}, {1, 7, 8}).empty(), "other processes' count");
  });
  suite.run("sharing: as many buffers as there are pairs of connections", [] {
    for (int buffers = 2; buffers <= 16; buffers++) {
      expect(sharing_refusal(0, {32, true, false}, {buffers, 0, 100}).empty(), buffers, " refused");
      expect(sharing_refusal(0, {2 * buffers, true, false}, {buffers, 0, 100}).empty(), buffers,
             " refused with ", 2 * buffers);
      expect_refusal({2 * buffers - 1, true, false}, {buffers, 0, 100},
                     "CUDA_DEVICE_MAX_CONNECTIONS", std::to_string(2 * buffers).c_str());
    }
    expect_refusal({8, true, true}, {5, 0, 100}, "CUDA_DEVICE_MAX_CONNECTIONS", "before this");
  });
  suite.run("sharing: lazy loading is refused", [] {
    expect_refusal({32, false, false}, {2, 0, 100}, "CUDA_MODULE_LOADING", "EAGER");
    expect_refusal({32, false, true}, {2, 0, 100}, "CUDA_MODULE_LOADING", "before this library");
  });
  suite.run("sharing: all waiting blocks fit on the device", [] {
    expect(sharing_refusal(0, {32, true, false}, {2, 6, 8}).empty(), "8 of 8 refused");
    expect_refusal({32, true, false}, {2, 7, 8}, "waiting block", "9");
    expect_refusal({32, true, false}, {1, 8, 8}, "holds 8", "9");
  });
  suite.run("sharing: low-latency calls of all ranks are resident at once", [] {
    auto share = [](int buffers, int other, int low_latency, std::vector<int> kept) {
      return low_latency_share(132, {buffers, other, 0, low_latency}, std::move(kept));
    };
    expect(share(1, 0, 1, {}) == 132, "one rank: ", share(1, 0, 1, {}));
    expect(share(2, 0, 2, {0}) == 66, "two ranks: ", share(2, 0, 2, {0}));
    expect(share(1, 3, 4, {}) == 33, "four processes: ", share(1, 3, 4, {}));
    expect(share(5, 0, 2, {0}) == 64, "beside three without: ", share(5, 0, 2, {0}));
    for (int kept = 0; kept <= 140; kept++) {
      const int rest = share(3, 0, 3, {kept, 0});
      expect(rest >= 0 && (rest == 44 || kept > 44), kept, " kept leave ", rest);
      expect(kept + 2 * rest <= 132 || rest == 0 || kept <= 44, kept, " kept leave ", rest);
    }
    expect(share(3, 0, 3, {132, 0}) == 0, "nothing is left");
    expect(share(2, 0, 2, {100}) == 32, "beside a graph: ", share(2, 0, 2, {100}));
  });
  suite.run("sharing: graphs leave room for buffers that wait", [] {
    expect(sharing_refusal(0, {32, true, false}, {2, 0, 1000, 2, 132, 132}).empty(), "2 of 2");
    expect(sharing_refusal(0, {32, true, false}, {4, 0, 1000, 2, 130, 132}).empty(), "130 and 2");
    expect_refusal({32, true, false}, {4, 0, 1000, 2, 131, 132}, "graphs have 131", "2 such");
    expect(sharing_refusal(0, {32, true, false}, {4, 0, 1000, 2, 0, 2}).empty(), "no graph");
  });
}

}  // namespace ep4j::test
