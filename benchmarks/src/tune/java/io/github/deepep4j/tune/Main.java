package io.github.deepep4j.tune;

import io.github.deepep4j.MeasuredTuning;
import io.github.deepep4j.TuningConfig;
import java.util.List;
import java.util.function.Consumer;

/** Looks for the best tuning and writes it. */
public final class Main {
  private Main() {}

  /**
   * Runs.
   *
   * @param args see {@code --help}
   */
  public static void main(String[] args) {
    List<String> arguments = List.of(args);
    if (arguments.contains("--help")) {
      System.out.print(TuneOptions.HELP);
      return;
    }
    try {
      run(TuneOptions.parse(arguments), System.out::println);
    } catch (IllegalArgumentException e) {
      System.err.println(e.getMessage() + "\n" + TuneOptions.HELP);
      System.exit(2);
    }
  }

  /**
   * Searches and writes.
   *
   * @param options what to tune for
   * @param log gets the lines to print
   * @return what was written
   */
  static MeasuredTuning run(TuneOptions options, Consumer<String> log) {
    Trial trial = new Trial(options);
    TuningConfig start = TuningConfig.defaults();
    trial.run(start); // the first trial warms up the JVM
    TuningConfig best =
        new Sweep(trial::run, options.passes(), log)
            .run(start, options.cuda() ? Knob.OF_CUDA : Knob.OF_CPU);
    MeasuredTuning place = trial.seen();
    MeasuredTuning found =
        new MeasuredTuning(place.device(), place.numRanks(), place.ranksPerNode(), best);
    found.write(options.out());
    log.accept(
        best.equals(start)
            ? "nothing is clearly faster than the defaults, which were written to " + options.out()
            : best + " was written to " + options.out());
    return found;
  }
}
