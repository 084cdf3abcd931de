package io.github.deepep4j.tune;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import io.github.deepep4j.Buffer;
import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.MeasuredTuning;
import io.github.deepep4j.TuningConfig;
import io.github.deepep4j.group.LocalGroup;
import io.github.deepep4j.tensor.Device;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The search on made-up times, and one real run on the CPU. */
class SweepTest {
  private static final TuningConfig DEFAULTS = TuningConfig.defaults();

  @TempDir private Path folder;

  private static TuningConfig best(Function<TuningConfig, Times> trial, List<Knob> knobs) {
    return new Sweep(trial, 3, line -> {}).run(DEFAULTS, knobs);
  }

  @Test
  void shouldFindTheFastest_whenOneIsClearlyFaster() {
    // A dispatch is fastest with 16 SMs, a combine with 8, waits with 1,000 spins.
    Function<TuningConfig, Times> trial =
        config ->
            new Times(
                100 + Math.abs(config.dispatchSms() - 16) + (config.waitSpins() == 1000 ? 0 : 10),
                100 + Math.abs(config.combineSms() - 8));
    assertThat(best(trial, Knob.OF_CUDA)).isEqualTo(new TuningConfig(16, 8, 0, 1000, 1000));
  }

  @Test
  void shouldKeepTheDefault_whenTheRestIsNoise() {
    Function<TuningConfig, Times> trial =
        config -> new Times(config.equals(DEFAULTS) ? 100 : 98, 0);
    assertThat(best(trial, Knob.OF_CPU)).isEqualTo(DEFAULTS);
  }

  @Test
  void shouldNotBeFooled_whenOnePassIsFastByChance() {
    int[] calls = {0};
    // Among the first pass's candidates one is very fast, but only once.
    Function<TuningConfig, Times> trial = config -> new Times(++calls[0] == 2 ? 1 : 100, 0);
    assertThat(best(trial, List.of(Knob.WAIT_SPINS))).isEqualTo(DEFAULTS);
    assertThat(calls[0]).as("five candidates, three passes").isEqualTo(15);
  }

  @Test
  void shouldKeepTheDefault_whenTurnsOverlap() {
    int[] calls = {0};
    // The default takes 100, 60 and 100: a candidate that always takes 70 may be no faster.
    Function<TuningConfig, Times> trial =
        config -> new Times(config.equals(DEFAULTS) ? (++calls[0] % 3 == 2 ? 60 : 100) : 70, 0);
    assertThat(best(trial, List.of(Knob.WAIT_SPINS))).isEqualTo(DEFAULTS);
  }

  @Test
  void shouldReadACommandLine_whenGiven() {
    TuneOptions options =
        TuneOptions.parse(
            List.of("--ranks", "4", "--backend", "cuda", "--devices", "2", "--out", "x.conf"));
    assertThat(options.numRanks()).isEqualTo(4);
    assertThat(options.device(3)).isEqualTo(Device.cuda(1));
    assertThat(options.out()).isEqualTo(Path.of("x.conf"));
    assertThat(options.hidden()).isEqualTo(TuneOptions.defaults().hidden());
    for (List<String> wrong :
        List.of(
            List.of("--ranks"),
            List.of("--ranks", "0"),
            List.of("--backend", "tpu"),
            List.of("--rank", "2"))) {
      assertThatIllegalArgumentException().isThrownBy(() -> TuneOptions.parse(wrong));
    }
  }

  @Test
  void shouldWriteWhatABufferTakes_whenRunOnTheCpu() {
    Path file = folder.resolve("tuning.conf");
    List<String> lines = new ArrayList<>();
    MeasuredTuning found =
        Main.run(new TuneOptions(false, 1, 2, 16, 64, 2, 4, 3, 1, file), lines::add);
    assertThat(MeasuredTuning.read(file)).isEqualTo(found);
    assertThat(lines).as("5 + 4 candidates and the result").hasSize(10);
    BufferOptions options = BufferOptions.of(4, 64, 16).measuredTuning(found);
    LocalGroup.run(
        2,
        group -> {
          try (Buffer buffer =
              Buffer.builder(group).options(options).device(Device.cpu()).build()) {
            assertThat(buffer.tuning()).isEqualTo(found);
          }
        });
  }
}
