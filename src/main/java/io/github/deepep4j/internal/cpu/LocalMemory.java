package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.internal.memory.Memory;
import io.github.deepep4j.internal.memory.OffHeap;
import java.util.ArrayList;
import java.util.List;

/**
 * Memory of combined rows and copied metadata, which no peer ever sees. Blocks are kept and given
 * again, so that a steady sequence of calls allocates nothing.
 */
final class LocalMemory implements AutoCloseable {
  /** Blocks are multiples of it, so that results of nearly equal size share them. */
  private static final long GRAIN = 4096;

  private final List<Memory> idle = new ArrayList<>();
  private final List<Memory> inUse = new ArrayList<>();

  /**
   * A block of at least the bytes; the smallest idle one that is not more than four times as big.
   */
  Memory take(long bytes) {
    long wanted = (Math.max(1, bytes) + GRAIN - 1) / GRAIN * GRAIN;
    Memory best = null;
    for (Memory block : idle) {
      if (block.bytes() >= wanted
          && block.bytes() <= 4 * wanted
          && (best == null || block.bytes() < best.bytes())) {
        best = block;
      }
    }
    if (best == null) {
      // Rounded up to a power of two, so that sizes that vary settle on a few blocks.
      best = OffHeap.allocate(Long.highestOneBit(wanted - 1) << 1);
    } else {
      idle.remove(best);
    }
    inUse.add(best);
    return best;
  }

  /** Takes a block back; beyond a few idle ones the smallest is freed. */
  void give(Memory block) {
    inUse.remove(block);
    idle.add(block);
    if (idle.size() > 16) {
      Memory smallest = idle.get(0);
      for (Memory other : idle) {
        if (other.bytes() < smallest.bytes()) {
          smallest = other;
        }
      }
      idle.remove(smallest);
      smallest.close();
    }
  }

  /** Frees all blocks, also those of results that nobody has closed: their tensors are refused. */
  @Override
  public void close() {
    idle.forEach(Memory::close);
    inUse.forEach(Memory::close);
    idle.clear();
    inUse.clear();
  }
}
