package io.github.deepep4j.internal.memory;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * Windows of ranks in several processes of one host: one file per rank, in memory where the host
 * has {@code /dev/shm}, mapped by all. The kernel frees a window when its last mapping goes, so no
 * close has to wait for a peer, dead or alive.
 */
final class FileWindows implements WindowSource {
  private static final System.Logger LOGGER = System.getLogger(FileWindows.class.getName());

  private final List<WindowMember> members;
  private final Path directory;
  private final List<WindowFile> files = new ArrayList<>();
  private final List<Memory> mappings = new ArrayList<>();
  private final long[] addresses;

  private FileWindows(List<WindowMember> members) {
    this.members = members;
    this.directory = Path.of(members.get(0).directory());
    this.addresses = new long[members.size()];
  }

  /**
   * Makes the calling rank's window and maps all of them. Collective.
   *
   * @param agreement the ranks
   * @param members what they said, by rank
   * @return the windows
   */
  static FileWindows open(Agreement agreement, List<WindowMember> members) {
    FileWindows windows = new FileWindows(members);
    int self = agreement.rank();
    try {
      agreement.step("creating a window file", () -> windows.create(self));
      agreement.step("opening a window file", () -> windows.openOthers(self));
      agreement.step("reserving a window's space", windows::reserveOwn);
      agreement.step("mapping a window", () -> windows.mapAll(self));
      windows.closeFiles();
      return windows;
    } catch (RuntimeException | Error e) {
      windows.close();
      throw e;
    }
  }

  private synchronized void create(int self) throws IOException {
    requireSpaceForAll();
    files.add(
        WindowFile.create(directory, members.get(0).nonce(), self, members.get(self).bytes()));
  }

  /**
   * Before any rank has written: filling a memory file system to its last byte would hurt others on
   * the host, only to fail.
   */
  private void requireSpaceForAll() throws IOException {
    long needed = 0;
    for (WindowMember member : members) {
      long bytes = member.bytes() + WindowFile.HEADER_BYTES;
      needed = bytes < 0 || needed + bytes < 0 ? Long.MAX_VALUE : needed + bytes;
    }
    long free = Files.getFileStore(directory).getUsableSpace();
    if (needed > free) {
      throw new IOException(
          "the windows of "
              + members.size()
              + " ranks need "
              + needed
              + " bytes in "
              + directory
              + ", where "
              + free
              + " are free (for a container, raise its shared memory size)");
    }
  }

  private synchronized void openOthers(int self) throws IOException {
    WindowFile own = files.get(0);
    for (int rank = 0; rank < members.size(); rank++) {
      if (rank != self) {
        files.add(
            WindowFile.open(
                directory, members.get(0).nonce(), rank, members.get(rank).bytes(), own));
      }
    }
  }

  private synchronized void reserveOwn() throws IOException {
    WindowFile own = files.get(0);
    own.unlink();
    own.reserve();
  }

  private synchronized void mapAll(int self) throws IOException, ReflectiveOperationException {
    // The files are in the order of opening: the own one, then the others by rank.
    int next = 1;
    for (int rank = 0; rank < members.size(); rank++) {
      Memory mapping = files.get(rank == self ? 0 : next++).map();
      mappings.add(mapping);
      addresses[rank] = mapping.address() + WindowFile.HEADER_BYTES;
    }
  }

  private synchronized void closeFiles() {
    for (WindowFile file : files) {
      try {
        file.close();
      } catch (IOException e) {
        LOGGER.log(System.Logger.Level.WARNING, "closing a window file failed", e);
      }
    }
    files.clear();
  }

  @Override
  public long address(int rank) {
    return addresses[rank];
  }

  @Override
  public synchronized void close() {
    closeFiles();
    mappings.forEach(Memory::close);
    mappings.clear();
  }
}
