package io.github.deepep4j.internal.memory;

import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;

/**
 * A range of memory outside the Java heap and the duty to give it back.
 *
 * <p>There is no cleaner behind it: a range that peers may still write must not be freed by a
 * garbage collector's thread. Whoever holds a {@code Memory} closes it, and closes it only when
 * nobody can reach the address any more; an access after that is undefined, up to a crash of the
 * JVM. Closing is idempotent and may happen on any thread.
 */
public final class Memory implements AutoCloseable {
  /** The largest request whose size, alignment slack included, does not overflow. */
  private static final long MAX_BYTES = Long.MAX_VALUE - OffHeap.ALIGNMENT;

  private static final AtomicLong LIVE_BYTES = new AtomicLong();
  private static final AtomicLong LIVE_ALLOCATIONS = new AtomicLong();

  private final long address;
  private final long bytes;
  private final Runnable release;
  private final AtomicBoolean closed = new AtomicBoolean();

  private Memory(long address, long bytes, Runnable release) {
    this.address = address;
    this.bytes = bytes;
    this.release = release;
  }

  /**
   * Makes an owner of a range that something else has provided, and counts it as live until it is
   * closed.
   *
   * @param address where it starts
   * @param bytes how long it is
   * @param release gives it back; called once
   * @return the owner
   */
  static Memory adopt(long address, long bytes, Runnable release) {
    LIVE_BYTES.addAndGet(bytes);
    LIVE_ALLOCATIONS.incrementAndGet();
    return new Memory(address, bytes, release);
  }

  /**
   * What {@link OffHeap#allocate} does.
   *
   * @param bytes 0 or more
   * @return the memory
   * @throws OutOfMemoryError if the system refuses, naming the size
   */
  static Memory allocate(long bytes) {
    long start = bytes <= MAX_BYTES ? allocateUnaligned(bytes + OffHeap.ALIGNMENT) : 0;
    if (start == 0) {
      throw new OutOfMemoryError(
          "cannot allocate "
              + bytes
              + " bytes outside the Java heap ("
              + liveBytes()
              + " bytes are in use by this library)");
    }
    return adopt((start + OffHeap.ALIGNMENT - 1) & -OffHeap.ALIGNMENT, bytes, () -> free(start));
  }

  /** See {@link OffHeap#liveBytes}. */
  static long liveBytes() {
    return LIVE_BYTES.get();
  }

  /** See {@link OffHeap#liveAllocations}. */
  static long liveAllocations() {
    return LIVE_ALLOCATIONS.get();
  }

  /**
   * Where the range starts, a multiple of 64.
   *
   * @return the address
   * @throws IllegalStateException if the range was given back
   */
  public long address() {
    if (closed.get()) {
      throw new IllegalStateException("memory of " + bytes + " bytes was closed");
    }
    return address;
  }

  /**
   * The range's length; also after closing.
   *
   * @return bytes, 0 or more
   */
  public long bytes() {
    return bytes;
  }

  /**
   * Whether the memory was given back.
   *
   * @return true after {@link #close()}
   */
  public boolean isClosed() {
    return closed.get();
  }

  /** Gives the range back. The first call does, later ones do nothing. */
  @Override
  public void close() {
    if (closed.compareAndSet(false, true)) {
      release.run();
      LIVE_BYTES.addAndGet(-bytes);
      LIVE_ALLOCATIONS.decrementAndGet();
    }
  }

  /** Memory aligned to whatever malloc gives, or 0 when there is none. */
  private static long allocateUnaligned(long bytes) {
    try {
      return (long) RawHandles.ALLOCATE.invokeExact(bytes);
    } catch (OutOfMemoryError e) {
      return 0;
    } catch (Throwable e) {
      throw OffHeap.unexpected(e);
    }
  }

  private static void free(long start) {
    try {
      RawHandles.FREE.invokeExact(start);
    } catch (Throwable e) {
      throw OffHeap.unexpected(e);
    }
  }
}
