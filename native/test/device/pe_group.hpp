// Ranks as processes on this host, forked before anybody has touched the device, and what they tell
// each other apart from the buffers: through memory that they share.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "ep4j_nvshmem.h"

namespace ep4j::test {

class PeGroup {
 public:
  // Runs body in so many processes and waits for them, at most so long. Returns how many ended
  // otherwise than with 0, not counting those that expire() was called in.
  static int launch(int ranks, int seconds, const std::function<int(PeGroup&)>& body);

  int rank() const { return rank_; }
  int ranks() const { return ranks_; }

  // Returns once all processes that have not expired are here; throws after 20 s.
  void meet();

  // Gives the same bytes of every rank to every rank, in rank order.
  template <class T>
  std::vector<T> exchange(const T& own) {
    static_assert(sizeof(T) <= kBytes);
    put(&own, sizeof own);
    meet();
    std::vector<T> all;
    for (int rank = 0; rank < ranks_; rank++) {
      all.push_back(*reinterpret_cast<const T*>(bytes_of(rank)));
    }
    meet();
    return all;
  }

  // What the failures of all ranks were, empty if there was none.
  std::string join_failures(const std::string& own);

  // Ends this process as a crash would.
  [[noreturn]] void expire();

  // Waits until a rank has expired, and a little more.
  void await_end_of(int rank) const;

 private:
  struct Page;
  static constexpr size_t kBytes = 1024;

  PeGroup(Page* page, int ranks, int rank) : page_(page), ranks_(ranks), rank_(rank) {}
  void put(const void* own, size_t bytes);
  const char* bytes_of(int rank) const;

  Page* page_;
  const int ranks_;
  const int rank_;
  uint32_t meetings_ = 0;
};

}  // namespace ep4j::test
