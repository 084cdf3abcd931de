package io.github.deepep4j.bench;

import io.github.deepep4j.Ep4j;
import io.github.deepep4j.tensor.Device;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;

/** The hardware and the JDK, as far as they can be read without a privilege. */
final class Machine {
  private Machine() {}

  static String cpuModel() {
    return linuxField("/proc/cpuinfo", "model name", System.getProperty("os.arch"));
  }

  static int cores() {
    return Runtime.getRuntime().availableProcessors();
  }

  static double memoryGiB() {
    String kib = linuxField("/proc/meminfo", "MemTotal", "0 kB").replaceAll("[^0-9]", "");
    return Long.parseLong(kib) / (1024.0 * 1024.0);
  }

  static String operatingSystem() {
    return System.getProperty("os.name") + " " + System.getProperty("os.version");
  }

  static String jdk() {
    return System.getProperty("java.vm.name")
        + " "
        + System.getProperty("java.runtime.version")
        + " ("
        + System.getProperty("java.vendor")
        + ")";
  }

  /** Runnable threads over the last minute; more than the benchmark's own means a busy machine. */
  static double loadAverage() {
    return ManagementFactory.getOperatingSystemMXBean().getSystemLoadAverage();
  }

  /** What the library says about each GPU; empty if the run needs none. */
  static List<String> gpus(boolean wanted) {
    if (!wanted) {
      return List.of();
    }
    return Ep4j.availability().stream()
        .filter(status -> status.kind() == Device.Kind.CUDA)
        .flatMap(status -> status.detail().stream())
        .filter(line -> line.startsWith("cuda:"))
        .toList();
  }

  /** The first GPU's name, for file names. */
  static String shortGpuName() {
    for (String gpu : gpus(true)) {
      String name = gpu.split(",", 2)[0].replaceFirst("cuda:[0-9]+: ", "");
      return name.toLowerCase(Locale.ROOT).replaceAll("[^a-z0-9]+", "-");
    }
    return "no-gpu";
  }

  /** For file names. */
  static String shortName() {
    String model = cpuModel().toLowerCase(Locale.ROOT).replaceAll("\\((r|tm)\\)|@.*|processor", "");
    return model.trim().replaceAll("[^a-z0-9]+", "-") + "-" + cores() + "c";
  }

  private static String linuxField(String file, String name, String otherwise) {
    try {
      List<String> lines = Files.readAllLines(Path.of(file));
      for (String line : lines) {
        if (line.startsWith(name)) {
          return line.substring(line.indexOf(':') + 1).trim();
        }
      }
      return otherwise;
    } catch (IOException notLinux) {
      return otherwise;
    }
  }
}
