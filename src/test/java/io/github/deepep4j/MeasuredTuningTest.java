package io.github.deepep4j;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.deepep4j.group.LocalGroup;
import io.github.deepep4j.tensor.Device;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** The tuning file, and when a buffer takes it. */
final class MeasuredTuningTest {
  private static final TuningConfig BEST = new TuningConfig(24, 16, 0, 7, 70);
  private static final TuningConfig OWN = new TuningConfig(0, 0, 0, 5, 50);
  private static final BufferOptions OPTIONS = BufferOptions.of(4, 64, 8).tuning(OWN);
  private static final List<String> LINES =
      List.of(
          "format = 1",
          "device = GPU, of a kind",
          "numRanks = 4",
          "ranksPerNode = 2",
          "dispatchSms = 24",
          "combineSms = 16",
          "lowLatencySms = 0",
          "waitSpins = 7",
          "waitYields = 70");

  @TempDir private Path folder;

  private Path file(List<String> lines) throws IOException {
    return Files.write(folder.resolve("tuning.conf"), lines);
  }

  @Test
  void shouldReadWhatItWrote_whenWritten() {
    MeasuredTuning tuning = new MeasuredTuning("GPU, of a kind = 1", 4, 2, BEST);
    Path file = folder.resolve("tuning.conf");
    tuning.write(file);
    assertThat(MeasuredTuning.read(file)).isEqualTo(tuning);
    new MeasuredTuning("other", 4, 2, BEST).write(file);
    assertThat(MeasuredTuning.read(file).device()).isEqualTo("other");
  }

  @Test
  void shouldReadAnyOrder_whenWrittenByHand() throws IOException {
    List<String> lines = new CopyOnWriteArrayList<>(LINES);
    Collections.reverse(lines);
    lines.add(3, "");
    lines.add(0, "  # by hand");
    lines.replaceAll(line -> line.replace(" = ", "="));
    assertThat(MeasuredTuning.read(file(lines)))
        .isEqualTo(new MeasuredTuning("GPU, of a kind", 4, 2, BEST));
  }

  static Stream<Arguments> faults() {
    return Stream.of(
        Arguments.of("waitSpins = 7", "waitSpins 7", "line 8: must be 'name = value': waitSpins 7"),
        Arguments.of("waitSpins = 7", "spins = 7", "line 8: 'spins' is none of [format, device,"),
        Arguments.of("numRanks = 4", "ranksPerNode = 4", "line 4: 'ranksPerNode' is there twice"),
        Arguments.of("numRanks = 4", "", "'numRanks' is missing"),
        Arguments.of("format = 1", "format = 2", "format must be 1: 2"),
        Arguments.of("numRanks = 4", "numRanks = four", "numRanks must be a whole number: four"),
        Arguments.of("numRanks = 4", "numRanks = 3", "divide the number of ranks: 2 over 3"),
        Arguments.of("numRanks = 4", "numRanks = 0", "numRanks must be >= 1: 0"),
        Arguments.of("waitSpins = 7", "waitSpins = -7", "waitSpins must be >= 0: -7"),
        Arguments.of("device = GPU, of a kind", "device =", "device must be one line of text"));
  }

  @ParameterizedTest(name = "{1}")
  @MethodSource("faults")
  void shouldNameFileLineAndRule_whenTheFileIsWrong(String line, String other, String message)
      throws IOException {
    Path file = file(LINES.stream().map(old -> old.equals(line) ? other : old).toList());
    assertThatIllegalArgumentException()
        .isThrownBy(() -> MeasuredTuning.read(file))
        .withMessageContainingAll(file.toString(), message);
  }

  @Test
  void shouldNameTheFile_whenItIsNotThere() {
    Path file = folder.resolve("none.conf");
    assertThatThrownBy(() -> MeasuredTuning.read(file))
        .isInstanceOf(UncheckedIOException.class)
        .hasMessageContaining(file.toString());
    assertThatThrownBy(() -> new MeasuredTuning("GPU", 1, 1, BEST).write(folder))
        .isInstanceOf(UncheckedIOException.class)
        .hasMessageContaining(folder.toString());
  }

  /** The tunings in use in a group of ranks on the CPU. */
  private static List<MeasuredTuning> inUse(int numRanks, BufferOptions options) {
    List<MeasuredTuning> tunings = new CopyOnWriteArrayList<>();
    LocalGroup.run(
        numRanks,
        group -> {
          try (Buffer buffer =
              Buffer.builder(group).options(options).device(Device.cpu()).build()) {
            tunings.add(buffer.tuning());
            buffer.check();
          }
        });
    assertThat(tunings).hasSize(numRanks);
    return tunings;
  }

  @Test
  void shouldBeUsed_whenDeviceAndGroupAreThoseOfTheFile() {
    MeasuredTuning here = inUse(4, OPTIONS.ranksPerNode(2)).get(0);
    assertThat(here.config()).as("without a file").isEqualTo(OWN);
    assertThat(here.device()).matches("CPU with [0-9]+ cores");
    assertThat(List.of(here.numRanks(), here.ranksPerNode())).containsExactly(4, 2);
    Path file = folder.resolve("tuning.conf");
    new MeasuredTuning(here.device(), 4, 2, BEST).write(file);
    BufferOptions tuned = OPTIONS.ranksPerNode(2).measuredTuning(MeasuredTuning.read(file));
    assertThat(inUse(4, tuned)).allMatch(tuning -> tuning.config().equals(BEST));
  }

  @Test
  void shouldBeIgnoredAndSaidOnce_whenItIsForSomethingElse() {
    String device = inUse(1, OPTIONS).get(0).device();
    BufferOptions gpu = OPTIONS.measuredTuning(new MeasuredTuning("GPU", 2, 2, BEST));
    BufferOptions ranks = OPTIONS.measuredTuning(new MeasuredTuning(device, 8, 8, BEST));
    BufferOptions nodes = OPTIONS.measuredTuning(new MeasuredTuning(device, 2, 1, BEST));
    Set<String> said = new TreeSet<>();
    List<String> warnings =
        warnings(
            () -> {
              for (BufferOptions options : List.of(gpu, ranks, nodes, gpu, ranks)) {
                assertThat(inUse(2, options)).allMatch(tuning -> tuning.config().equals(OWN));
              }
            });
    said.addAll(warnings);
    String start = "a measured tuning is ignored, it is for something else: ";
    assertThat(said)
        .containsExactlyInAnyOrder(
            start + "device is " + device + ", was GPU",
            start + "numRanks is 2, was 8, ranksPerNode is 2, was 8",
            start + "ranksPerNode is 2, was 1");
    assertThat(warnings).as("each once").hasSize(3);
  }

  private static List<String> warnings(Runnable action) {
    List<String> messages = new CopyOnWriteArrayList<>();
    Handler handler =
        new Handler() {
          @Override
          public void publish(LogRecord logged) {
            if (logged.getMessage().contains("tuning")) {
              messages.add(logged.getMessage());
            }
          }

          @Override
          public void flush() {}

          @Override
          public void close() {}
        };
    Logger logger = Logger.getLogger("io.github.deepep4j");
    logger.addHandler(handler);
    try {
      action.run();
    } finally {
      logger.removeHandler(handler);
    }
    return messages;
  }
}
