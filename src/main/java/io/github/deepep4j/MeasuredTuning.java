package io.github.deepep4j;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A {@link TuningConfig} and what it was measured on, and its form as a file. A buffer takes it
 * only on the same kind of device and in a group of the same shape ({@link
 * BufferOptions#measuredTuning}), because the best values of one machine can be bad on another.
 *
 * <p>The file is UTF-8 text with one {@code name = value} per line, each name once, in any order;
 * empty lines and lines that begin with {@code #} are skipped:
 *
 * <pre>
 * # DeepEP4J tuning
 * format = 1
 * device = NVIDIA H100 80GB HBM3
 * numRanks = 8
 * ranksPerNode = 8
 * dispatchSms = 24
 * combineSms = 16
 * lowLatencySms = 0
 * waitSpins = 100
 * waitYields = 1000
 * </pre>
 *
 * @param device name of the device, as the driver gives it; of a CPU with its number of cores
 * @param numRanks n ≥ 1
 * @param ranksPerNode a divisor of n; n where all ranks are one node
 * @param config what was found best
 */
public record MeasuredTuning(String device, int numRanks, int ranksPerNode, TuningConfig config) {
  /** A file of another format is refused: it may mean something else. */
  private static final String FORMAT = "1";

  private static final List<String> NAMES =
      List.of(
          "format",
          "device",
          "numRanks",
          "ranksPerNode",
          "dispatchSms",
          "combineSms",
          "lowLatencySms",
          "waitSpins",
          "waitYields");

  /**
   * Checks the values.
   *
   * @param device name of the device
   * @param numRanks n
   * @param ranksPerNode ranks of each node
   * @param config what was found best
   * @throws IllegalArgumentException naming the rule and the value
   */
  public MeasuredTuning {
    if (device.isBlank() || !device.equals(device.strip()) || device.lines().count() != 1) {
      throw new IllegalArgumentException("device must be one line of text: '" + device + "'");
    }
    BufferOptions.requireAtLeast(numRanks, 1, "numRanks");
    BufferOptions.requireAtLeast(ranksPerNode, 1, "ranksPerNode");
    if (numRanks % ranksPerNode != 0) {
      throw new IllegalArgumentException(
          "ranksPerNode must divide the number of ranks: " + ranksPerNode + " over " + numRanks);
    }
  }

  /**
   * Reads a file. Local.
   *
   * @param file what {@link #write} has written, or somebody by hand
   * @return its contents
   * @throws UncheckedIOException if it can't be read
   * @throws IllegalArgumentException if it says something that is not as described, naming file,
   *     line and rule
   */
  public static MeasuredTuning read(Path file) {
    List<String> lines;
    try {
      lines = Files.readAllLines(file, StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new UncheckedIOException("cannot read the tuning " + file, e);
    }
    try {
      return of(parse(lines));
    } catch (IllegalArgumentException e) {
      throw new IllegalArgumentException("the tuning " + file + ": " + e.getMessage(), e);
    }
  }

  private static Map<String, String> parse(List<String> lines) {
    Map<String, String> values = new LinkedHashMap<>();
    for (int i = 0; i < lines.size(); i++) {
      String line = lines.get(i).strip();
      if (line.isEmpty() || line.startsWith("#")) {
        continue;
      }
      int equals = line.indexOf('=');
      String name = equals < 0 ? line : line.substring(0, equals).strip();
      String where = "line " + (i + 1) + ": ";
      if (equals < 0) {
        throw new IllegalArgumentException(where + "must be 'name = value': " + line);
      }
      if (!NAMES.contains(name)) {
        throw new IllegalArgumentException(where + "'" + name + "' is none of " + NAMES);
      }
      if (values.put(name, line.substring(equals + 1).strip()) != null) {
        throw new IllegalArgumentException(where + "'" + name + "' is there twice");
      }
    }
    return values;
  }

  private static MeasuredTuning of(Map<String, String> values) {
    for (String name : NAMES) {
      if (!values.containsKey(name)) {
        throw new IllegalArgumentException("'" + name + "' is missing");
      }
    }
    String format = text(values, "format");
    if (!format.equals(FORMAT)) {
      throw new IllegalArgumentException("format must be " + FORMAT + ": " + format);
    }
    return new MeasuredTuning(
        text(values, "device"),
        number(values, "numRanks"),
        number(values, "ranksPerNode"),
        new TuningConfig(
            number(values, "dispatchSms"),
            number(values, "combineSms"),
            number(values, "lowLatencySms"),
            number(values, "waitSpins"),
            number(values, "waitYields")));
  }

  private static String text(Map<String, String> values, String name) {
    return values.getOrDefault(name, "");
  }

  private static int number(Map<String, String> values, String name) {
    String value = text(values, name);
    try {
      return Integer.parseInt(value);
    } catch (NumberFormatException e) {
      throw new IllegalArgumentException(name + " must be a whole number: " + value, e);
    }
  }

  /**
   * Writes a file that {@link #read} reads, over an older one. Local.
   *
   * @param file where to; its folder exists
   * @throws UncheckedIOException if it can't be written
   */
  public void write(Path file) {
    try {
      Files.writeString(file, text());
    } catch (IOException e) {
      throw new UncheckedIOException("cannot write the tuning " + file, e);
    }
  }

  private String text() {
    return String.join(
        System.lineSeparator(),
        "# DeepEP4J tuning",
        "format = " + FORMAT,
        "device = " + device,
        "numRanks = " + numRanks,
        "ranksPerNode = " + ranksPerNode,
        "dispatchSms = " + config.dispatchSms(),
        "combineSms = " + config.combineSms(),
        "lowLatencySms = " + config.lowLatencySms(),
        "waitSpins = " + config.waitSpins(),
        "waitYields = " + config.waitYields(),
        "");
  }

  /**
   * Why this tuning is not for a buffer.
   *
   * @param buffer what the buffer runs on; its {@code config} does not matter
   * @return each difference as "name is here, was there"; empty if there is none
   */
  public String mismatch(MeasuredTuning buffer) {
    Map<String, Object> here = buffer.place();
    StringBuilder differences = new StringBuilder();
    place()
        .forEach(
            (name, then) -> {
              Object now = here.get(name);
              if (!then.equals(now)) {
                differences
                    .append(differences.isEmpty() ? "" : ", ")
                    .append(name + " is " + now + ", was " + then);
              }
            });
    return differences.toString();
  }

  private Map<String, Object> place() {
    Map<String, Object> place = new LinkedHashMap<>();
    place.put("device", device);
    place.put("numRanks", numRanks);
    place.put("ranksPerNode", ranksPerNode);
    return place;
  }
}
