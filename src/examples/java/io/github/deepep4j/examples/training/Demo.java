package io.github.deepep4j.examples.training;

import io.github.deepep4j.error.EpException;
import io.github.deepep4j.group.LocalGroup;
import io.github.deepep4j.group.ProcessGroup;
import io.github.deepep4j.group.TcpGroup;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/**
 * The demo: trains with n ranks, then with one rank over the same shards, writes the report and
 * says whether the two agree. Started by {@code scripts/demo.sh}.
 */
public final class Demo {
  private static final int FAILED = 1;
  private static final int BAD_ARGUMENTS = 2;

  private final DemoOptions options;
  private final Corpus corpus;
  private final PrintStream out;

  Demo(DemoOptions options, Corpus corpus, PrintStream out) {
    this.options = options;
    this.corpus = corpus;
    this.out = out;
  }

  /**
   * Runs the demo.
   *
   * @param args see {@code --help}
   */
  public static void main(String[] args) {
    System.setProperty("java.awt.headless", "true");
    PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    int status = run(args, out, System.err);
    if (status != 0) {
      System.exit(status);
    }
  }

  /** Runs the demo and returns the exit status. */
  static int run(String[] args, PrintStream out, PrintStream err) {
    if (DemoOptions.asksForHelp(args)) {
      out.print(DemoOptions.help());
      return 0;
    }
    try {
      DemoOptions options = new DemoOptions(args);
      Path text = options.text();
      Corpus corpus =
          text == null
              ? Corpus.ofRepository(options.root(), options.ranks())
              : Corpus.ofFile(text, options.ranks());
      Demo demo = new Demo(options, corpus, out);
      if (!options.processes()) {
        return demo.run();
      }
      try (ProcessGroup group = TcpGroup.fromEnvironment()) {
        return demo.runRank(group);
      }
    } catch (IllegalArgumentException | IOException e) {
      err.println("demo: " + describe(e));
      return BAD_ARGUMENTS;
    } catch (EpException e) {
      err.println("demo: " + describe(e));
      return FAILED;
    }
  }

  private static String describe(Exception e) {
    return e instanceof IOException
        ? "cannot read or write: " + e
        : Objects.requireNonNullElse(e.getMessage(), e.toString());
  }

  /** All ranks are threads of this process. */
  private int run() throws IOException {
    out.println(introduction());
    return compareWithOneRank(trainThreads(options.ranks(), options.sample()));
  }

  /** This process is one rank; the first one also does what is done once. */
  private int runRank(ProcessGroup group) throws IOException {
    if (group.size() != options.ranks()) {
      throw new IllegalArgumentException(
          "--ranks " + options.ranks() + " and the launcher's " + group.size() + " must be equal");
    }
    boolean first = group.rank() == 0;
    if (first) {
      out.println(introduction());
    }
    TrainingRun run = train(group, options.sample());
    return first ? compareWithOneRank(run) : 0;
  }

  private int compareWithOneRank(TrainingRun parallel) throws IOException {
    return conclude(parallel, trainThreads(1, 0));
  }

  private String introduction() {
    ModelShape shape = options.shape(corpus.vocabularySize());
    return format(
            "text   %s: %,d characters, %d different\n",
            corpus.source(), corpus.numCharacters(), corpus.vocabularySize())
        + format(
            "model  %d Mixture-of-Experts layers of %d experts, top-2; hidden %d, context %d",
            shape.layers(), shape.experts(), shape.hidden(), shape.context());
  }

  /** Trains with ranks that are threads of this process. */
  private TrainingRun trainThreads(int ranks, int sampleLength) {
    AtomicReference<@Nullable TrainingRun> result = new AtomicReference<>();
    LocalGroup.run(
        ranks,
        group -> {
          TrainingRun run = train(group, sampleLength);
          if (group.rank() == 0) {
            result.set(run);
          }
        });
    TrainingRun run = result.get();
    if (run == null) {
      throw new IllegalStateException("rank 0 has ended without a result");
    }
    return run;
  }

  private TrainingRun train(ProcessGroup group, int sampleLength) {
    Trainer.StepListener listener = (step, loss) -> {};
    int ranks = group.size();
    if (group.rank() == 0) {
      out.println();
      out.println(
          format(
              "EP=%d   %s with %d experts of each layer; %d shards of %d tokens a step",
              ranks,
              ranks == 1 ? "1 rank" : ranks + " ranks, each",
              options.shape(0).experts() / ranks,
              options.ranks(),
              options.tokens()));
      listener =
          new Progress(out, options.bar(), options.steps(), options.ranks() * options.tokens());
    }
    return new Trainer(group, options, corpus, listener).run(sampleLength);
  }

  private int conclude(TrainingRun parallel, TrainingRun single) throws IOException {
    Agreement agreement = Agreement.of(parallel, single);
    Path page = new Report(parallel, single, agreement).write(options.report(), introduction());
    TrainingRun.Sample sample = parallel.samples().get(0);
    out.println();
    out.println("sample, written through the low-latency calls (before | : what was given)");
    out.println(sample.prompt() + "|" + sample.continuation());
    out.println();
    out.println(
        format(
            "loss   %.3f -> %.3f nats per character (%+.0f %%) in %d steps",
            parallel.firstLoss(),
            parallel.lastLoss(),
            100 * (parallel.lastLoss() / parallel.firstLoss() - 1),
            options.steps()));
    out.println(
        format(
            "time   %.1f %% in dispatch and %.1f %% in combine, of which waiting for other ranks %.1f %%",
            100 * parallel.shares().dispatch(),
            100 * parallel.shares().combine(),
            100 * parallel.shares().waiting()));
    out.println("report " + page);
    out.println(agreement.sentence());
    return agreement.holds() ? 0 : FAILED;
  }

  private static String format(String format, Object... values) {
    return String.format(Locale.ROOT, format, values);
  }
}
