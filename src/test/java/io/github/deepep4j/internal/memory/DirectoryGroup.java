package io.github.deepep4j.internal.memory;

import io.github.deepep4j.error.EpException;
import io.github.deepep4j.group.ProcessGroup;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/**
 * A group for tests whose ranks, threads and processes alike, leave each other messages as files:
 * it needs no port and no parent. Exchange {@code k} of rank {@code r} is the file {@code k-r},
 * renamed into place when complete.
 */
final class DirectoryGroup implements ProcessGroup {
  private static final long DEADLINE_NANOS = TimeUnit.SECONDS.toNanos(60);

  private final Path directory;
  private final int rank;
  private final int size;
  private int exchange;

  DirectoryGroup(Path directory, int rank, int size) {
    this.directory = directory;
    this.rank = rank;
    this.size = size;
  }

  @Override
  public int rank() {
    return rank;
  }

  @Override
  public int size() {
    return size;
  }

  @Override
  public byte[][] allGather(byte[] bytes) {
    try {
      Path partial = directory.resolve("partial-" + rank);
      Files.write(partial, bytes);
      Files.move(
          partial,
          directory.resolve(exchange + "-" + rank),
          StandardCopyOption.ATOMIC_MOVE,
          StandardCopyOption.REPLACE_EXISTING);
      byte[][] all = new byte[size][];
      for (int peer = 0; peer < size; peer++) {
        all[peer] = await(directory.resolve(exchange + "-" + peer));
      }
      exchange++;
      return all;
    } catch (IOException e) {
      throw new UncheckedIOException("group directory", e);
    }
  }

  private byte[] await(Path message) throws IOException {
    long start = System.nanoTime();
    while (!Files.exists(message)) {
      if (Files.exists(directory.resolve("aborted"))) {
        throw new EpException(
            EpException.Code.ABORTED, rank, "test", Files.readString(directory.resolve("aborted")));
      }
      if (System.nanoTime() - start > DEADLINE_NANOS) {
        throw new EpException(EpException.Code.TIMEOUT, rank, "test", message + " never came");
      }
      LockSupport.parkNanos(200_000);
    }
    return Files.readAllBytes(message);
  }

  @Override
  public void abort(String reason) {
    try {
      Path partial = directory.resolve("abort-of-" + rank);
      Files.writeString(partial, reason);
      Files.move(partial, directory.resolve("aborted"), StandardCopyOption.ATOMIC_MOVE);
    } catch (IOException e) {
      throw new UncheckedIOException("group directory", e);
    }
  }

  @Override
  public void close() {}
}
