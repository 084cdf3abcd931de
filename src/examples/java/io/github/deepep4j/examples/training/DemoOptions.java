package io.github.deepep4j.examples.training;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** The demo's command line. */
final class DemoOptions {
  private static final int MAX_RANKS = 16;
  private static final int MAX_CONTEXT = 64; // with 16 ranks, a shard of the shortest text has 256

  /** One option: its name, its default (empty for a switch) and what it means. */
  private record Spec(String name, String standard, String value, String meaning) {
    boolean isSwitch() {
      return value.isEmpty();
    }
  }

  private static final List<Spec> SPECS =
      List.of(
          new Spec("ranks", "4", "N", "ranks, and shards of the text"),
          new Spec("experts", "16", "N", "experts of each layer; a multiple of the ranks"),
          new Spec("layers", "2", "N", "Mixture-of-Experts layers"),
          new Spec("hidden", "64", "N", "width of a token's row; a multiple of 8"),
          new Spec("inner", "128", "N", "width inside an expert"),
          new Spec("context", "12", "N", "characters that a prediction sees"),
          new Spec("embedding", "16", "N", "width of a character's embedding"),
          new Spec("steps", "250", "N", "training steps"),
          new Spec("tokens", "256", "N", "predictions of one shard in one step"),
          new Spec("learning-rate", "0.008", "X", "largest learning rate"),
          new Spec("balance", "0.02", "X", "weight of the loss that evens out the experts' load"),
          new Spec("seed", "1", "N", "of the weights, the batches and the sample"),
          new Spec("sample", "300", "N", "characters to generate on each rank at the end"),
          new Spec(
              "text",
              "",
              "FILE",
              "UTF-8 text of at least "
                  + Corpus.MIN_CHARACTERS
                  + " characters (default: LICENSE, *.md and docs/*.md of this repository)"),
          new Spec("root", ".", "DIR", "where LICENSE, *.md and docs/*.md are"),
          new Spec("report", "report", "DIR", "where charts and the HTML page go"),
          new Spec("backend", "cpu", "cpu|cuda", "where dispatch and combine run"),
          new Spec("devices", "1", "N", "GPUs: rank r is on GPU r modulo N"),
          new Spec("progress", "lines", "bar|lines", "how to show progress"),
          new Spec("processes", "", "", "the ranks are processes, started by scripts/launch.sh"),
          new Spec("help", "", "", "this text"));

  private final Map<String, String> given = new HashMap<>();

  private final int ranks;
  private final ModelShape shape;
  private final int steps;
  private final int tokens;
  private final long seed;
  private final double learningRate;
  private final int sample;
  private final int devices;

  /**
   * Reads a command line.
   *
   * @throws IllegalArgumentException naming the option and the value that is wrong
   */
  DemoOptions(String... args) {
    parse(args);
    ranks = integer("ranks", 1, MAX_RANKS);
    shape =
        new ModelShape(
            0,
            integer("context", 1, MAX_CONTEXT),
            integer("embedding", 1, 256),
            integer("hidden", 8, 4096),
            integer("layers", 1, 16),
            integer("experts", 2, 1024),
            integer("inner", 1, 16384),
            (float) number("balance", 0, 100));
    steps = integer("steps", 2, 1_000_000);
    tokens = integer("tokens", 1, 65_536);
    seed = integer("seed", 0, Integer.MAX_VALUE);
    sample = integer("sample", 1, 100_000);
    devices = integer("devices", 1, MAX_RANKS);
    learningRate = number("learning-rate", 1e-9, 1);
    require("hidden", shape.hidden() % 8 == 0, "must be a multiple of 8");
    require("experts", shape.experts() % ranks == 0, "must be a multiple of the ranks " + ranks);
    require("backend", List.of("cpu", "cuda").contains(value("backend")), "must be cpu or cuda");
    require(
        "progress", List.of("bar", "lines").contains(value("progress")), "must be bar or lines");
  }

  private void parse(String[] args) {
    for (int i = 0; i < args.length; i++) {
      String[] parts = args[i].split("=", 2);
      Spec spec = spec(parts[0]);
      if (spec.isSwitch()) {
        if (parts.length > 1) {
          throw new IllegalArgumentException(parts[0] + " takes no value: " + parts[1]);
        }
        given.put(spec.name(), "true");
      } else if (parts.length > 1) {
        given.put(spec.name(), parts[1]);
      } else if (i + 1 < args.length) {
        given.put(spec.name(), args[++i]);
      } else {
        throw new IllegalArgumentException(parts[0] + " needs a value: " + spec.value());
      }
    }
  }

  private static Spec spec(String argument) {
    for (Spec spec : SPECS) {
      if (argument.equals("--" + spec.name())) {
        return spec;
      }
    }
    throw new IllegalArgumentException("unknown option " + argument + " (see --help)");
  }

  private String value(String name) {
    return given.getOrDefault(name, spec("--" + name).standard());
  }

  private int integer(String name, int least, int most) {
    String text = value(name);
    try {
      int value = Integer.parseInt(text);
      require(name, value >= least && value <= most, "must be from " + least + " to " + most);
      return value;
    } catch (NumberFormatException e) {
      throw new IllegalArgumentException("--" + name + " must be an integer: " + text, e);
    }
  }

  private double number(String name, double least, double most) {
    String text = value(name);
    try {
      double value = Double.parseDouble(text);
      require(name, value >= least && value <= most, "must be from " + least + " to " + most);
      return value;
    } catch (NumberFormatException e) {
      throw new IllegalArgumentException("--" + name + " must be a number: " + text, e);
    }
  }

  private void require(String name, boolean rule, String message) {
    if (!rule) {
      throw new IllegalArgumentException("--" + name + " " + message + ": " + value(name));
    }
  }

  /** Whether the command line asks for help, whatever else it says. */
  static boolean asksForHelp(String... args) {
    return Arrays.asList(args).contains("--help");
  }

  static String help() {
    StringBuilder text =
        new StringBuilder(
            """
            Usage: scripts/demo.sh [options]

            Trains a small character-level Mixture-of-Experts model with its experts spread over the
            ranks, then the same model on one rank, and compares the two. Ends with 0 if they agree.

            """);
    for (Spec spec : SPECS) {
      String left = "--" + spec.name() + " " + spec.value();
      String standard = spec.standard().isEmpty() ? "" : " (default " + spec.standard() + ")";
      text.append(String.format("  %-24s %s%s%n", left, spec.meaning(), standard));
    }
    return text.toString();
  }

  int ranks() {
    return ranks;
  }

  /** The model's sizes for a text with so many different characters. */
  ModelShape shape(int vocabulary) {
    return new ModelShape(
        vocabulary,
        shape.context(),
        shape.embedding(),
        shape.hidden(),
        shape.layers(),
        shape.experts(),
        shape.inner(),
        shape.balance());
  }

  int context() {
    return shape.context();
  }

  int steps() {
    return steps;
  }

  /** Tokens of one shard in one step. */
  int tokens() {
    return tokens;
  }

  long seed() {
    return seed;
  }

  double learningRate() {
    return learningRate;
  }

  /** Characters to generate on each rank. */
  int sample() {
    return sample;
  }

  /** The text's file; null for the repository's own text. */
  @Nullable Path text() {
    return value("text").isEmpty() ? null : Path.of(value("text"));
  }

  /** Where the repository's own text is. */
  Path root() {
    return Path.of(value("root"));
  }

  Path report() {
    return Path.of(value("report"));
  }

  boolean cuda() {
    return value("backend").equals("cuda");
  }

  int devices() {
    return devices;
  }

  boolean bar() {
    return value("progress").equals("bar");
  }

  boolean processes() {
    return given.containsKey("processes");
  }
}
