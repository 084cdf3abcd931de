package io.github.deepep4j.internal.memory;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.UUID;

/**
 * What a rank tells the others before windows are made.
 *
 * @param jvm drawn once per JVM: a process id would not do, because two containers may both have a
 *     process 1
 * @param host the kernel's boot id, empty where there is none
 * @param pidNamespace what {@code pid} is relative to, empty where unknown
 * @param pid the process id
 * @param startMillis when the process started by its own reckoning, 0 if unknown
 * @param bytes length of this rank's window
 * @param nonce rank 0's names the set of windows; the others' are ignored
 * @param directory rank 0's says where window files go; the others' are ignored
 * @param filesAlways rank 0's asks for files even if all ranks are threads of one JVM
 */
record WindowMember(
    UUID jvm,
    String host,
    String pidNamespace,
    long pid,
    long startMillis,
    long bytes,
    UUID nonce,
    String directory,
    boolean filesAlways) {

  /** Tells this message, and its version, from anything else that a rank may have sent. */
  private static final int MAGIC = 0x45505701;

  /**
   * The calling rank.
   *
   * @param bytes length of its window
   * @param placement where its window goes, if it is rank 0
   * @return the member
   */
  static WindowMember self(long bytes, SharedWindow.Placement placement) {
    ProcessHandle process = ProcessHandle.current();
    return new WindowMember(
        ProcessIdentity.jvm(),
        ProcessIdentity.host(),
        pidNamespaceOfThisProcess(),
        process.pid(),
        process.info().startInstant().map(Instant::toEpochMilli).orElse(0L),
        bytes,
        UUID.randomUUID(),
        placement.directory().toString(),
        placement.filesAlways());
  }

  /** For the group. */
  byte[] encode() {
    ByteArrayOutputStream bytesOut = new ByteArrayOutputStream();
    try (DataOutputStream out = new DataOutputStream(bytesOut)) {
      out.writeInt(MAGIC);
      writeUuid(out, jvm);
      out.writeUTF(host);
      out.writeUTF(pidNamespace);
      out.writeLong(pid);
      out.writeLong(startMillis);
      out.writeLong(bytes);
      writeUuid(out, nonce);
      out.writeUTF(directory);
      out.writeBoolean(filesAlways);
    } catch (IOException e) {
      throw new UncheckedIOException("writing to an array", e);
    }
    return bytesOut.toByteArray();
  }

  /**
   * The way back.
   *
   * @param message from the group
   * @return the member
   * @throws IOException if the message is not one of {@link #encode}
   */
  static WindowMember decode(byte[] message) throws IOException {
    try (DataInputStream in = new DataInputStream(new ByteArrayInputStream(message))) {
      int magic = in.readInt();
      if (magic != MAGIC) {
        throw new IOException(
            "expected 0x" + Integer.toHexString(MAGIC) + ", got 0x" + Integer.toHexString(magic));
      }
      return new WindowMember(
          readUuid(in),
          in.readUTF(),
          in.readUTF(),
          in.readLong(),
          in.readLong(),
          in.readLong(),
          readUuid(in),
          in.readUTF(),
          in.readBoolean());
    }
  }

  /** Whether both are threads of one JVM. */
  boolean sameProcess(WindowMember other) {
    return jvm.equals(other.jvm);
  }

  private static void writeUuid(DataOutputStream out, UUID uuid) throws IOException {
    out.writeLong(uuid.getMostSignificantBits());
    out.writeLong(uuid.getLeastSignificantBits());
  }

  private static UUID readUuid(DataInputStream in) throws IOException {
    return new UUID(in.readLong(), in.readLong());
  }

  private static String pidNamespaceOfThisProcess() {
    try {
      return Files.readSymbolicLink(Path.of("/proc/self/ns/pid")).toString();
    } catch (IOException | UnsupportedOperationException e) {
      return "";
    }
  }
}
