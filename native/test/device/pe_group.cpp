#include "pe_group.hpp"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>

#include "check.hpp"

namespace ep4j::test {
namespace {

using Clock = std::chrono::steady_clock;

void nap() { std::this_thread::sleep_for(std::chrono::microseconds(100)); }

}  // namespace

struct PeGroup::Page {
  std::atomic<uint32_t> met[EP4J_MAX_RANKS];      // meetings that a rank has come to
  std::atomic<uint32_t> expired[EP4J_MAX_RANKS];  // 1: asked to be ended, 2: has ended
  char bytes[EP4J_MAX_RANKS][kBytes];
};

int PeGroup::launch(int ranks, int seconds, const std::function<int(PeGroup&)>& body) {
  void* memory = mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                      -1, 0);
  expect(memory != MAP_FAILED, "mapping shared memory");
  Page* page = static_cast<Page*>(memory);
  std::fflush(stdout);
  std::vector<pid_t> children;
  for (int rank = 0; rank < ranks; rank++) {
    const pid_t child = fork();
    expect(child >= 0, "forking");
    if (child == 0) {
      PeGroup group(page, ranks, rank);
      int code = 1;
      try {
        code = body(group);
      } catch (const std::exception& error) {
        std::printf("PE %d: %s\n", rank, error.what());
      }
      std::exit(code);  // with all that NVSHMEM does at an exit: it must not hang
    }
    children.push_back(child);
  }
  const auto limit = Clock::now() + std::chrono::seconds(seconds);
  int failed = 0;
  for (int left = ranks; left > 0;) {
    int status = 0;
    const pid_t ended = waitpid(-1, &status, WNOHANG);
    if (ended > 0) {
      const auto rank = std::find(children.begin(), children.end(), ended) - children.begin();
      const bool expired = page->expired[rank] != 0;
      page->expired[rank] = 2;
      if (!expired && status != 0) {
        std::printf("PE %d ended with %s %d\n", static_cast<int>(rank),
                    WIFSIGNALED(status) ? "signal" : "code",
                    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        failed++;
      }
      left--;
    } else if (Clock::now() > limit) {
      std::printf("%d PEs did not end within %d s\n", left, seconds);
      failed += left;
      for (pid_t child : children) {
        kill(child, SIGKILL);
      }
      break;
    } else {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }
  std::fflush(stdout);
  munmap(memory, sizeof(Page));
  return failed;
}

void PeGroup::meet() {
  const uint32_t meeting = ++meetings_;
  page_->met[rank_] = meeting;
  const auto limit = Clock::now() + std::chrono::seconds(20);
  for (int rank = 0; rank < ranks_; rank++) {
    while (page_->met[rank] < meeting && page_->expired[rank] == 0) {
      expect(Clock::now() < limit, "rank ", rank_, " waited 20 s for rank ", rank, " at meeting ",
             meeting);
      nap();
    }
  }
}

void PeGroup::put(const void* own, size_t bytes) { std::memcpy(page_->bytes[rank_], own, bytes); }

const char* PeGroup::bytes_of(int rank) const { return page_->bytes[rank]; }

std::string PeGroup::join_failures(const std::string& own) {
  struct Text {
    char text[kBytes];
  };
  Text text = {};
  std::snprintf(text.text, sizeof text.text, "%s", own.c_str());
  std::string all;
  const std::vector<Text> texts = exchange(text);
  for (int rank = 0; rank < ranks_; rank++) {
    if (texts[static_cast<size_t>(rank)].text[0] != 0 && page_->expired[rank] == 0) {
      all += join("[rank ", rank, "] ", texts[static_cast<size_t>(rank)].text, " ");
    }
  }
  return all;
}

void PeGroup::expire() {
  page_->expired[rank_] = 1;
  kill(getpid(), SIGKILL);
  std::abort();
}

void PeGroup::await_end_of(int rank) const {
  const auto limit = Clock::now() + std::chrono::seconds(20);
  while (page_->expired[rank] != 2) {
    expect(Clock::now() < limit, "rank ", rank, " did not end within 20 s");
    nap();
  }
}

}  // namespace ep4j::test
