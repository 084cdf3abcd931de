package io.github.deepep4j.group;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.SelectableChannel;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.LongSupplier;

/**
 * The one thread that does an end's network work, so that an exchange can be interrupted, a peer's
 * death is seen while nobody waits, and a stranger's slow connection costs no thread. Handlers and
 * the owner run under the end's lock.
 */
final class EventLoop {
  /** What a channel does when it is ready. */
  interface Handler {
    /** The channel is ready for what it registered. */
    void ready();
  }

  /** Whose network work this is. */
  interface Owner {
    /**
     * Does what is due by the clock.
     *
     * @param now {@link System#nanoTime}
     * @return when to come back at the latest, nanoseconds from now
     */
    long tick(long now);

    /** The network work can't go on. */
    void broken(Throwable cause);
  }

  private final Selector selector;
  private final ReentrantLock lock;
  private final Owner owner;
  private boolean started;
  private volatile boolean stopped;

  EventLoop(ReentrantLock lock, Owner owner) throws IOException {
    this.selector = Selector.open();
    this.lock = lock;
    this.owner = owner;
  }

  void start(String name) {
    started = true;
    Thread thread = new Thread(this::run, name);
    thread.setDaemon(true);
    thread.start();
  }

  /** Lets the thread end and its selector close; channels are the owner's. */
  void stop() {
    stopped = true;
    selector.wakeup();
    if (!started) {
      try {
        selector.close();
      } catch (IOException e) {
        throw new UncheckedIOException("closing a selector", e);
      }
    }
  }

  /** Makes the loop ask the owner again what is due. */
  void wake() {
    selector.wakeup();
  }

  SelectionKey register(SelectableChannel channel, int interest, Handler handler)
      throws IOException {
    return channel.register(selector, interest, handler);
  }

  private void run() {
    try (selector) {
      while (!stopped) {
        selector.select(millis(locked(() -> owner.tick(System.nanoTime()))));
        for (SelectionKey key : selector.selectedKeys()) {
          locked(() -> dispatch(key));
        }
        selector.selectedKeys().clear();
      }
    } catch (IOException | RuntimeException | Error e) {
      locked(
          () -> {
            owner.broken(e);
            return 0L;
          });
    }
  }

  private static long dispatch(SelectionKey key) {
    // A handler that ran before may have closed this one's channel.
    if (key.isValid()) {
      ((Handler) key.attachment()).ready();
    }
    return 0;
  }

  private long locked(LongSupplier work) {
    lock.lock();
    try {
      return stopped ? 0 : work.getAsLong();
    } finally {
      lock.unlock();
    }
  }

  /** At least 1, because 0 means for ever; rounded up, so that a tick is not early. */
  private static long millis(long nanos) {
    return Math.min(TimeUnit.NANOSECONDS.toMillis(Math.max(0, nanos)) + 1, 60_000);
  }
}
