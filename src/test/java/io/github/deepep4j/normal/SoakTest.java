package io.github.deepep4j.normal;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.CombineResult;
import io.github.deepep4j.DispatchHandle;
import io.github.deepep4j.DispatchResult;
import io.github.deepep4j.LowLatencyCombine;
import io.github.deepep4j.LowLatencyCombineOptions;
import io.github.deepep4j.LowLatencyDispatch;
import io.github.deepep4j.LowLatencyDispatchOptions;
import io.github.deepep4j.fixtures.GlobalInput;
import io.github.deepep4j.fixtures.HostTensors;
import io.github.deepep4j.fixtures.Inputs;
import io.github.deepep4j.fixtures.LowLatencyRank;
import io.github.deepep4j.fixtures.LowLatencyRound;
import io.github.deepep4j.fixtures.RoutingShape;
import io.github.deepep4j.group.LocalGroup;
import io.github.deepep4j.group.ProcessGroup;
import io.github.deepep4j.internal.memory.OffHeap;
import io.github.deepep4j.reference.LowLatencyOracle;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * A thousand rounds on one buffer of eight ranks: every form of both modes (of one, on a backend
 * that has no other) in any order, up to three results of each kind open, received and closed by
 * each rank in an order of its own. Every row of every result is compared with the oracle, and
 * memory stops growing.
 */
class SoakTest {
  private static final int NUM_RANKS = 8;
  private static final int NUM_EXPERTS = 16;
  private static final int NUM_TOPK = 4;
  private static final int HIDDEN = 128;
  private static final int MOST_TOKENS = 6;

  /** M of the buffer: room for bounded results that are not exactly full. */
  private static final int CAPACITY_TOKENS = 8;

  private static final int ROUNDS = 1000;
  private static final int ROUNDS_PER_CHECK = 100;
  private static final int DIFFERENT_ROUNDS = 24;
  private static final int REGIONS = 3;

  /**
   * Blocks that a rank keeps for coming results; which sizes, depends on what was open together.
   */
  private static final int IDLE_BLOCKS = 16;

  /** Bytes that these may still grow by; one lost block a round on one rank would be 3.6 MiB. */
  private static final long LARGEST_GROWTH = 512 << 10;

  static long[] seed() {
    return io.github.deepep4j.fixtures.Seeds.few().limit(1).toArray();
  }

  /** Kinds of result, each with regions of its own. */
  private enum Kind {
    DISPATCH,
    COMBINE,
    LOW_LATENCY_DISPATCH,
    LOW_LATENCY_COMBINE
  }

  /** A result that is not finished: checked and closed later. */
  private record Open(Kind kind, Runnable finish) {}

  /** What is drawn beforehand and shared by the ranks. */
  private static final class Script {
    final List<Round> dispatches = new ArrayList<>();
    final List<List<CombineRound>> combines = new ArrayList<>();
    final List<Payload> cached = new ArrayList<>();
    final List<LowLatencyRound> lowLatency = new ArrayList<>();

    /** Off-heap memory of all ranks before the first and after each hundred rounds. */
    final long[] liveBytes = new long[ROUNDS / ROUNDS_PER_CHECK + 1];

    final long[] liveAllocations = new long[ROUNDS / ROUNDS_PER_CHECK + 1];

    Script(SplittableRandom random) {
      RoutingShape[] routings = RoutingShape.values();
      for (int i = 0; i < DIFFERENT_ROUNDS; i++) {
        Inputs.Shape shape =
            new Inputs.Shape(
                NUM_RANKS,
                NUM_EXPERTS,
                1 + random.nextInt(NUM_TOPK),
                HIDDEN,
                routings[i % routings.length]);
        GlobalInput input =
            Inputs.draw(random, shape, Inputs.awkwardTokens(random, NUM_RANKS, MOST_TOKENS));
        Round round = new Round(input, Form.draw(random), narrow(input, random));
        dispatches.add(round);
        cached.add(narrow(input, random));
        List<CombineRound> ofRound = new ArrayList<>();
        for (int j = 0; j < 3; j++) {
          CombineRound.Form form = CombineRound.Form.draw(random, round.form);
          int width = form.zeroCopy() ? round.payload.hidden : HIDDEN;
          ofRound.add(new CombineRound(round, form, width, random));
        }
        combines.add(ofRound);
        LowLatencyOracle.Shape lowLatencyShape =
            new LowLatencyOracle.Shape(NUM_RANKS, NUM_EXPERTS, CAPACITY_TOKENS, HIDDEN, NUM_TOPK);
        LowLatencyRound.Routing[] lowLatencyRoutings = LowLatencyRound.Routing.values();
        lowLatency.add(
            LowLatencyRound.of(
                lowLatencyShape, lowLatencyRoutings[i % lowLatencyRoutings.length], random));
      }
    }

    /** Rows that memory for a combine of the same width exists for. */
    private static Payload narrow(GlobalInput input, SplittableRandom random) {
      Payload drawn = Payload.draw(input, random);
      return drawn.hidden <= HIDDEN ? drawn : Payload.bf16(input);
    }
  }

  @ParameterizedTest(name = "ep.seed={0}")
  @MethodSource("seed")
  void shouldStayRightAndStopGrowing_whenAThousandRoundsAreMixed(long seed) {
    Script script = new Script(new SplittableRandom(seed));
    BufferOptions options =
        BufferOptions.of(NUM_EXPERTS, HIDDEN, CAPACITY_TOKENS)
            .maxTopk(NUM_TOPK)
            .maxScalesPerRow(8)
            .expertMajor()
            .maxExpertAlignment(Scenarios.MOST_ALIGNMENT)
            .normalRegions(REGIONS)
            .lowLatency()
            .lowLatencyRegions(REGIONS);
    LocalGroup.run(
        NUM_RANKS,
        group -> RankEnd.run(group, options, end -> new Walk(group, end, script, seed).run()));
    assertThat(Arrays.stream(script.liveAllocations).max().orElseThrow())
        .as("blocks after each hundred rounds: %s", Arrays.toString(script.liveAllocations))
        .isLessThanOrEqualTo(script.liveAllocations[0] + NUM_RANKS * IDLE_BLOCKS);
    assertThat(script.liveBytes[ROUNDS / ROUNDS_PER_CHECK] - script.liveBytes[1])
        .as("bytes after each hundred rounds: %s", Arrays.toString(script.liveBytes))
        .isLessThan(LARGEST_GROWTH);
  }

  /** One rank's way through the rounds. */
  private static final class Walk {
    private final ProcessGroup group;
    private final RankEnd end;
    private final Script script;

    /** The same on all ranks: what is called. */
    private final SplittableRandom common;

    /** This rank's own: what is received and closed when. */
    private final SplittableRandom own;

    private final List<Open> open = new ArrayList<>();

    Walk(ProcessGroup group, RankEnd end, Script script, long seed) {
      this.group = group;
      this.end = end;
      this.script = script;
      this.common = new SplittableRandom(seed);
      this.own = new SplittableRandom(seed + 1 + end.rank);
    }

    void run() {
      measure(0);
      for (int round = 1; round <= ROUNDS; round++) {
        int index = common.nextInt(DIFFERENT_ROUNDS);
        switch (common.nextInt(5)) {
          case 0, 1 -> normal(index);
          case 2 -> cached(index);
          default -> lowLatency(index);
        }
        while (!open.isEmpty() && own.nextInt(3) > 0) {
          finish(own.nextInt(open.size()));
        }
        if (round % ROUNDS_PER_CHECK == 0) {
          measure(round);
        }
      }
    }

    /** Nobody has anything open; then one rank looks at the memory of all. */
    private void measure(int round) {
      while (!open.isEmpty()) {
        finish(0);
      }
      group.allGather(new byte[0]);
      if (end.rank == 0) {
        script.liveBytes[round / ROUNDS_PER_CHECK] = OffHeap.liveBytes();
        script.liveAllocations[round / ROUNDS_PER_CHECK] = OffHeap.liveAllocations();
      }
      group.allGather(new byte[0]);
    }

    private void normal(int index) {
      Round round = script.dispatches.get(index);
      DispatchHandle handle = dispatch(round);
      for (int i = common.nextInt(4); i > 0; i--) {
        combine(script.combines.get(index).get(common.nextInt(3)), handle);
      }
      handle.close();
    }

    private void cached(int index) {
      Round round = script.dispatches.get(index);
      DispatchHandle handle = dispatch(round);
      makeRoom(Kind.DISPATCH);
      HostTensors memory = new HostTensors();
      Payload payload = script.cached.get(index);
      DispatchResult result = end.dispatchCached(round, payload, handle, memory);
      add(Kind.DISPATCH, memory, result, () -> end.checkCached(round, payload, result));
      combine(script.combines.get(index).get(common.nextInt(3)), handle);
      handle.close();
    }

    private DispatchHandle dispatch(Round round) {
      makeRoom(Kind.DISPATCH);
      HostTensors memory = new HostTensors();
      DispatchResult result = end.dispatch(round, memory);
      add(Kind.DISPATCH, memory, result, () -> end.check(round, result));
      return result.handle();
    }

    private void combine(CombineRound round, DispatchHandle handle) {
      makeRoom(Kind.COMBINE);
      HostTensors memory = new HostTensors();
      CombineResult result = end.combine(round, handle, memory);
      add(Kind.COMBINE, memory, result, () -> end.check(round, result));
    }

    private void lowLatency(int index) {
      makeRoom(Kind.LOW_LATENCY_DISPATCH);
      makeRoom(Kind.LOW_LATENCY_COMBINE);
      LowLatencyRound round = script.lowLatency.get(index);
      LowLatencyDispatchOptions send = LowLatencyDispatchOptions.defaults();
      LowLatencyCombineOptions back = LowLatencyCombineOptions.defaults();
      LowLatencyRank rank = new LowLatencyRank(end.buffer, end.rank, common.nextBoolean());
      LowLatencyDispatch sent = rank.dispatch(round, own.nextBoolean() ? send.hook() : send);
      back = own.nextBoolean() ? back.hook() : back;
      LowLatencyCombine sums =
          common.nextBoolean()
              ? rank.combine(round, sent.handle(), back)
              : rank.combineInPlace(round, sent.handle(), back);
      open.add(
          new Open(
              Kind.LOW_LATENCY_DISPATCH,
              () -> {
                rank.checkDispatch(round, sent, null);
                sent.close();
              }));
      open.add(
          new Open(
              Kind.LOW_LATENCY_COMBINE,
              () -> {
                rank.checkCombine(round, sums, false);
                sums.close();
                rank.close();
              }));
    }

    private void add(Kind kind, HostTensors memory, AutoCloseable result, Runnable check) {
      open.add(
          new Open(
              kind,
              () -> {
                check.run();
                closeQuietly(result);
                memory.close();
              }));
    }

    private static void closeQuietly(AutoCloseable result) {
      try {
        result.close();
      } catch (RuntimeException e) {
        throw e;
      } catch (Exception e) {
        throw new AssertionError(e);
      }
    }

    /** Finishes results of a kind, any of them, until a region is free for another one. */
    private void makeRoom(Kind kind) {
      while (open.stream().filter(each -> each.kind() == kind).count() >= REGIONS) {
        int any = own.nextInt(open.size());
        if (open.get(any).kind() == kind) {
          finish(any);
        }
      }
    }

    private void finish(int index) {
      open.remove(index).finish().run();
    }
  }
}
