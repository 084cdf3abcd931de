package io.github.deepep4j.internal.memory;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFileAttributes;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Set;
import java.util.UUID;

/**
 * The file behind one rank's window, as one rank has it open.
 *
 * <pre>
 *   0           8       24      28          32       40              4096
 *   | magic i64 | nonce | rank  | (unused)  | bytes  | … zeros …     | window, bytes long |
 * </pre>
 *
 * <p>The header proves to a peer that it has opened what the owner has made; a whole page of it
 * keeps the window page-aligned. The owner removes the name as soon as all have the file open and
 * only then fills it with zeros: from there on the kernel owns its end, and a rank killed earlier
 * leaves one page behind at worst.
 */
final class WindowFile implements AutoCloseable {
  /** Bytes before the window. */
  static final int HEADER_BYTES = 4096;

  private static final long MAGIC = 0x3157_5045_4a34_5045L;

  private static final Set<PosixFilePermission> OWNER_ONLY =
      PosixFilePermissions.fromString("rw-------");

  /** One write: large enough that the call's cost vanishes, small enough to stay in the cache. */
  private static final int ZEROS_BYTES = 1 << 20;

  private final Path path;
  private final FileChannel channel;
  private final long windowBytes;
  private boolean linkedByUs;

  private WindowFile(Path path, FileChannel channel, long windowBytes, boolean linkedByUs) {
    this.path = path;
    this.channel = channel;
    this.windowBytes = windowBytes;
    this.linkedByUs = linkedByUs;
  }

  /**
   * Makes a file that nobody but this user can open, with its header.
   *
   * @param directory where
   * @param nonce names the set of windows
   * @param rank the calling rank
   * @param windowBytes the window's length
   * @return the file
   * @throws IOException if it exists or can't be made
   */
  static WindowFile create(Path directory, UUID nonce, int rank, long windowBytes)
      throws IOException {
    Path path = path(directory, nonce, rank);
    FileAttribute<Set<PosixFilePermission>> mode = PosixFilePermissions.asFileAttribute(OWNER_ONLY);
    FileChannel channel =
        FileChannel.open(
            path,
            Set.of(
                StandardOpenOption.CREATE_NEW, StandardOpenOption.READ, StandardOpenOption.WRITE),
            mode);
    WindowFile file = new WindowFile(path, channel, windowBytes, true);
    try {
      writeFully(channel, header(nonce, rank, windowBytes), 0);
      return file;
    } catch (IOException | RuntimeException e) {
      file.close();
      throw e;
    }
  }

  /**
   * Opens the file that a peer has made and checks that it is that.
   *
   * @param directory where
   * @param nonce names the set of windows
   * @param rank the peer
   * @param windowBytes the length that the peer has announced
   * @param own a file of the calling rank: the owner must be the same user
   * @return the file
   * @throws IOException if there is no such file, or it is not what the peer has announced
   */
  static WindowFile open(Path directory, UUID nonce, int rank, long windowBytes, WindowFile own)
      throws IOException {
    Path path = path(directory, nonce, rank);
    FileChannel channel;
    try {
      channel =
          FileChannel.open(
              path, StandardOpenOption.READ, StandardOpenOption.WRITE, LinkOption.NOFOLLOW_LINKS);
    } catch (NoSuchFileException e) {
      throw new IOException(
          "rank " + rank + "'s file " + path + " is not visible here; do containers share it?", e);
    }
    WindowFile file = new WindowFile(path, channel, windowBytes, false);
    try {
      file.requireAsAnnounced(header(nonce, rank, windowBytes), own);
      return file;
    } catch (IOException | RuntimeException e) {
      file.close();
      throw e;
    }
  }

  private void requireAsAnnounced(ByteBuffer expected, WindowFile own) throws IOException {
    PosixFileAttributes attributes = attributes(path);
    if (!attributes.isRegularFile()
        || !attributes.permissions().equals(OWNER_ONLY)
        || !attributes.owner().equals(attributes(own.path).owner())) {
      throw new IOException(
          path
              + " must be a regular file of the same user with mode rw-------, but is of "
              + attributes.owner().getName()
              + " with "
              + PosixFilePermissions.toString(attributes.permissions()));
    }
    ByteBuffer seen = ByteBuffer.allocate(HEADER_BYTES);
    while (seen.hasRemaining() && channel.read(seen, seen.position()) >= 0) {
      // A read may be short.
    }
    if (!seen.flip().equals(expected)) {
      throw new IOException(path + " was not made by the rank that it is named after");
    }
  }

  /**
   * Removes the file's name; the open channels and mappings stay.
   *
   * @throws IOException if that fails
   */
  void unlink() throws IOException {
    if (linkedByUs) {
      Files.deleteIfExists(path);
      linkedByUs = false;
    }
  }

  /**
   * Writes the window's zeros. A mapping of a file with holes would instead fail at some later
   * store, and by a signal, when the file system is full.
   *
   * @throws IOException if there is no space, naming what is needed and what is free
   */
  void reserve() throws IOException {
    long end = HEADER_BYTES + windowBytes;
    ByteBuffer zeros = ByteBuffer.allocateDirect(ZEROS_BYTES);
    try {
      for (long at = HEADER_BYTES; at < end; at += ZEROS_BYTES) {
        zeros.clear().limit((int) Math.min(ZEROS_BYTES, end - at));
        writeFully(channel, zeros, at);
      }
    } catch (IOException e) {
      Path directory = path.getParent();
      throw new IOException(
          e.getMessage()
              + ": a window of "
              + windowBytes
              + " bytes in "
              + directory
              + " stopped at "
              + channel.size()
              + " bytes, "
              + Files.getFileStore(directory).getUsableSpace()
              + " are free",
          e);
    }
  }

  /**
   * Maps the whole file as one range.
   *
   * @return the mapping, header included
   * @throws IOException if the file is not as long as announced, or can't be mapped
   * @throws ReflectiveOperationException if the JDK lacks a way to map more than 2 GiB
   */
  Memory map() throws IOException, ReflectiveOperationException {
    long expected = HEADER_BYTES + windowBytes;
    if (channel.size() != expected) {
      throw new IOException(
          path + " should be " + expected + " bytes long, but is " + channel.size());
    }
    return RawHandles.ACCESS.map(channel, expected);
  }

  /** Closes the file and removes its name, if it is this rank's and still there. */
  @Override
  public void close() throws IOException {
    try (channel) {
      unlink();
    }
  }

  private static Path path(Path directory, UUID nonce, int rank) {
    return directory.resolve("deepep4j-" + nonce + "-" + rank);
  }

  private static PosixFileAttributes attributes(Path path) throws IOException {
    return Files.readAttributes(path, PosixFileAttributes.class, LinkOption.NOFOLLOW_LINKS);
  }

  private static ByteBuffer header(UUID nonce, int rank, long windowBytes) {
    return ByteBuffer.allocate(HEADER_BYTES)
        .order(ByteOrder.LITTLE_ENDIAN)
        .putLong(0, MAGIC)
        .putLong(8, nonce.getMostSignificantBits())
        .putLong(16, nonce.getLeastSignificantBits())
        .putInt(24, rank)
        .putLong(32, windowBytes);
  }

  private static void writeFully(FileChannel channel, ByteBuffer bytes, long at)
      throws IOException {
    long position = at;
    while (bytes.hasRemaining()) {
      position += channel.write(bytes, position);
    }
  }
}
