package io.github.deepep4j.normal;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.DispatchHandle;
import io.github.deepep4j.DispatchResult;
import io.github.deepep4j.Quantization;
import io.github.deepep4j.fixtures.GlobalInput;
import io.github.deepep4j.fixtures.HostTensors;
import io.github.deepep4j.fixtures.Inputs;
import io.github.deepep4j.fixtures.RoutingShape;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/**
 * What an administrator runs first on a node: every form of normal mode against the oracle, one
 * line each. {@code --ranks N} (2) ranks as threads of this JVM, on the device of {@code
 * -Ddeepep4j.test.device}. Ends with status 1 if any line failed.
 */
public final class SelfTest {
  private static final int ROUNDS = 4;
  private static final int HIDDEN = 1024;
  private static final int MOST_TOKENS = 256;

  private final int numRanks;
  private final PrintStream out;
  private int failures;

  private SelfTest(int numRanks, PrintStream out) {
    this.numRanks = numRanks;
    this.out = out;
  }

  /** One thing to try on one rank. */
  private interface Body {
    void run(RankEnd end) throws Exception;
  }

  /** Runs all. */
  public static void main(String[] args) {
    int numRanks = 2;
    for (int i = 0; i + 1 < args.length; i++) {
      if (args[i].equals("--ranks")) {
        numRanks = Integer.parseInt(args[i + 1]);
      }
    }
    SelfTest test = new SelfTest(numRanks, System.out);
    test.all();
    System.exit(test.failures == 0 ? 0 : 1);
  }

  private void all() {
    dispatches("dispatch, rank-major", Form.rankMajor());
    dispatches("dispatch, expert-major, zero-filled", Form.expertMajor(16).withZeroFill());
    dispatches("dispatch, bounded", Form.rankMajor().bounded(3));
    dispatches("dispatch, owned", Form.rankMajor().owned(Form.Owner.INTO));
    dispatches("dispatch, two halves", Form.rankMajor().withHook());
    for (Quantization cast : Quantization.values()) {
      cached("cached dispatch, FP8 cast " + cast, cast);
    }
    CombineRound.Form plain = CombineRound.Form.plain();
    combines("combine, rank-major, two biases", Form.rankMajor(), plain.withBiases(2));
    combines("combine, weights back", Form.rankMajor(), plain.withWeightsBack());
    combines("combine, weighted", Form.expertMajor(16), plain.withWeighting());
    combines("combine, in place, two halves", Form.rankMajor(), plain.inPlace().withHook());
    out.println(failures == 0 ? "all as the oracle says" : failures + " FAILED");
  }

  private List<Round> rounds(Form form) {
    SplittableRandom random = new SplittableRandom(numRanks);
    List<Round> rounds = new ArrayList<>();
    for (int i = 0; i < ROUNDS; i++) {
      Inputs.Shape shape =
          new Inputs.Shape(numRanks, 4 * numRanks, 4, HIDDEN, RoutingShape.UNIFORM);
      int[] tokens = new int[numRanks];
      for (int rank = 0; rank < numRanks; rank++) {
        tokens[rank] = random.nextInt(MOST_TOKENS - 8);
      }
      GlobalInput input = Inputs.draw(random, shape, tokens);
      rounds.add(new Round(input, form, Payload.bf16(input)));
    }
    return rounds;
  }

  private void dispatches(String what, Form form) {
    List<Round> rounds = rounds(form);
    line(
        what,
        end -> {
          for (Round round : rounds) {
            end.dispatchAndCheck(round).close();
          }
        });
  }

  private void cached(String what, Quantization cast) {
    List<Round> rounds = rounds(Form.rankMajor());
    SplittableRandom random = new SplittableRandom(3);
    List<Payload> payloads = new ArrayList<>();
    for (Round round : rounds) {
      payloads.add(Payload.cast(round.input, HIDDEN, cast, random));
    }
    line(
        what,
        end -> {
          for (int i = 0; i < rounds.size(); i++) {
            try (HostTensors memory = new HostTensors();
                DispatchHandle handle = end.dispatchAndCheck(rounds.get(i));
                DispatchResult result =
                    end.dispatchCached(rounds.get(i), payloads.get(i), handle, memory)) {
              end.checkCached(rounds.get(i), payloads.get(i), result);
            }
          }
        });
  }

  private void combines(String what, Form dispatch, CombineRound.Form form) {
    SplittableRandom random = new SplittableRandom(5);
    List<Round> rounds = rounds(dispatch);
    List<CombineRound> combines =
        rounds.stream().map(round -> new CombineRound(round, form, HIDDEN, random)).toList();
    line(
        what,
        end -> {
          for (int i = 0; i < rounds.size(); i++) {
            try (DispatchHandle handle = end.dispatchAndCheck(rounds.get(i))) {
              end.combineAndCheck(combines.get(i), handle);
            }
          }
        });
  }

  private void line(String what, Body body) {
    BufferOptions options =
        BufferOptions.of(4 * numRanks, HIDDEN, MOST_TOKENS).expertMajor().maxExpertAlignment(16);
    long started = System.nanoTime();
    String outcome;
    try {
      RankEnd.run(numRanks, options, body::run);
      outcome = "ok";
    } catch (RuntimeException | AssertionError e) {
      failures++;
      outcome = "FAILED: " + e.getMessage();
    }
    long millis = (System.nanoTime() - started) / 1_000_000;
    out.printf("%-45s %d ranks, %d rounds, %4d ms: %s%n", what, numRanks, ROUNDS, millis, outcome);
  }
}
