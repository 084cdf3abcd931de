package io.github.deepep4j.internal.memory;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.UUID;

/** Who this process is to ranks elsewhere. */
public final class ProcessIdentity {
  private static final UUID JVM = UUID.randomUUID();

  private ProcessIdentity() {}

  /** Drawn once per JVM: a process id would not do, because two containers may both have one. */
  public static UUID jvm() {
    return JVM;
  }

  /** The kernel's boot id, which tells hosts apart; empty where there is none. */
  public static String host() {
    try {
      return Files.readString(Path.of("/proc/sys/kernel/random/boot_id")).strip();
    } catch (IOException e) {
      return "";
    }
  }
}
