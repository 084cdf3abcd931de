#include "fibers.hpp"

#include <sched.h>
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <vector>

#include "warp.hpp"

// Saves what a call must keep, changes stacks, and returns on the other one.
extern "C" void simulated_switch(void** from, void* to);
asm(R"(
.text
.globl simulated_switch
.type simulated_switch, @function
simulated_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");

namespace simulated {
namespace {

constexpr size_t kStackBytes = 64 << 10;
constexpr unsigned kLanes = 32;

// Stacks outlive blocks: making and touching them is what a block costs most.
class Stacks {
 public:
  char* take() {
    {
      std::scoped_lock lock(mutex_);
      if (!free_.empty()) {
        char* stack = free_.back();
        free_.pop_back();
        return stack;
      }
    }
    void* made = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (made == MAP_FAILED) {
      std::fprintf(stderr, "no memory for a fiber\n");
      std::abort();
    }
    return static_cast<char*>(made);
  }
  void give(char* stack) {
    std::scoped_lock lock(mutex_);
    free_.push_back(stack);
  }

 private:
  std::mutex mutex_;
  std::vector<char*> free_;
};

Stacks& stacks() {
  static Stacks* all = new Stacks;
  return *all;
}

struct Fiber {
  void* stack_pointer = nullptr;
  char* stack = nullptr;
  unsigned thread = 0;
  unsigned place = 0;  // among those that can run
};

struct Warp {
  unsigned lanes = 0;
  unsigned arrived = 0;
  unsigned generation = 0;
  WarpOperation kind = WarpOperation::kSync;
  uint64_t values[2][kLanes] = {};
};

struct Block {
  std::vector<Fiber> fibers;
  std::vector<Warp> warps;
  const std::function<void()>* kernel = nullptr;
  unsigned index = 0;
  unsigned blocks = 0;
  void* shared = nullptr;
  std::vector<unsigned> ready;  // fibers that can run
  unsigned alive = 0;
  unsigned current = 0;
  std::vector<unsigned> at_barrier;
  unsigned turns = 0;
  uint64_t random = 1;
  void* home = nullptr;  // stack of the thread that runs the block
};

thread_local Block* block = nullptr;

[[noreturn]] void complain(const char* what) {
  std::fprintf(stderr, "simulated block %u, thread %u: %s\n", block->index,
               block->fibers[block->current].thread, what);
  std::abort();
}

uint64_t draw() {
  block->random ^= block->random << 13;
  block->random ^= block->random >> 7;
  block->random ^= block->random << 17;
  return block->random;
}

void make_ready(unsigned fiber) {
  block->fibers[fiber].place = static_cast<unsigned>(block->ready.size());
  block->ready.push_back(fiber);
}

void take_out(unsigned fiber) {
  const unsigned place = block->fibers[fiber].place;
  const unsigned last = block->ready.back();
  block->ready[place] = last;
  block->fibers[last].place = place;
  block->ready.pop_back();
}

// To the fiber at the following place, now and then to any other.
void switch_on(unsigned place) {
  if (block->ready.empty()) {
    complain("all threads wait for each other");
  }
  const uint64_t bits = draw();
  if (bits % 64 == 0) {
    place = static_cast<unsigned>(bits >> 32);
  }
  Fiber& from = block->fibers[block->current];
  const unsigned next = block->ready[place % block->ready.size()];
  if (next != block->current) {
    block->current = next;
    simulated_switch(&from.stack_pointer, block->fibers[next].stack_pointer);
  }
}

// Until another fiber makes this one ready.
void block_here() {
  const unsigned place = block->fibers[block->current].place;
  take_out(block->current);
  switch_on(place);
}

void enter() {
  (*block->kernel)();
  Fiber& own = block->fibers[block->current];
  if (--block->alive == 0) {
    simulated_switch(&own.stack_pointer, block->home);
  }
  block_here();
  complain("a thread that ended had a turn");
}

void prepare(Fiber& fiber) {
  fiber.stack = stacks().take();
  // As simulated_switch leaves it: six registers, where to go; then what a call would have pushed.
  void** top = reinterpret_cast<void**>(fiber.stack + kStackBytes);
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(&enter);
  for (int i = 0; i < 6; i++) {
    *--top = nullptr;
  }
  fiber.stack_pointer = top;
}

}  // namespace

Dim thread_index() { return {block->fibers[block->current].thread}; }
Dim block_index() { return {block->index}; }
Dim block_size() { return {static_cast<unsigned>(block->fibers.size())}; }
Dim grid_size() { return {block->blocks}; }
void* dynamic_shared() { return block->shared; }
unsigned lane() { return block->fibers[block->current].thread % kLanes; }
unsigned lanes() { return block->warps[block->fibers[block->current].thread / kLanes].lanes; }

void give_up_turn() {
  // Other blocks may be what this one waits for.
  if (++block->turns % (4 * block->fibers.size()) == 0) {
    sched_yield();
  }
  switch_on(block->fibers[block->current].place + 1);
}

void block_barrier() {
  if (block->at_barrier.size() + 1 == block->alive) {
    for (unsigned fiber : block->at_barrier) {
      make_ready(fiber);
    }
    block->at_barrier.clear();
    return;
  }
  block->at_barrier.push_back(block->current);
  block_here();
}

const uint64_t* exchange(WarpOperation kind, uint64_t value) {
  const unsigned first = block->current / kLanes * kLanes;
  Warp& warp = block->warps[first / kLanes];
  if (warp.arrived == 0) {
    warp.kind = kind;
  } else if (warp.kind != kind) {
    complain("lanes of a warp are in different operations");
  }
  uint64_t* values = warp.values[warp.generation % 2];
  values[block->current - first] = value;
  if (++warp.arrived < warp.lanes) {
    block_here();
    return values;
  }
  warp.arrived = 0;
  warp.generation++;
  for (unsigned lane = 0; lane < warp.lanes; lane++) {
    if (first + lane != block->current) {
      make_ready(first + lane);
    }
  }
  return values;
}

void run_block(unsigned index, unsigned blocks, unsigned threads, void* shared, uint64_t seed,
               const std::function<void()>& kernel) {
  Block own;
  own.fibers.resize(threads);
  own.warps.resize((threads + kLanes - 1) / kLanes);
  for (unsigned i = 0; i < threads; i++) {
    own.fibers[i].thread = i;
    own.warps[i / kLanes].lanes++;
    prepare(own.fibers[i]);
  }
  own.kernel = &kernel;
  own.index = index;
  own.blocks = blocks;
  own.shared = shared;
  own.alive = threads;
  own.random = seed * 0x9E3779B97F4A7C15u + index * 0xBF58476D1CE4E5B9u + 1;
  block = &own;
  for (unsigned i = 0; i < threads; i++) {
    make_ready(i);
  }
  simulated_switch(&own.home, own.fibers[0].stack_pointer);
  block = nullptr;
  for (Fiber& fiber : own.fibers) {
    stacks().give(fiber.stack);
  }
}

}  // namespace simulated
