package io.github.deepep4j.normal;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.deepep4j.CombineOptions;
import io.github.deepep4j.CombineResult;
import io.github.deepep4j.DispatchHandle;
import io.github.deepep4j.DispatchOptions;
import io.github.deepep4j.DispatchResult;
import io.github.deepep4j.fixtures.GlobalInput;
import io.github.deepep4j.fixtures.HostTensors;
import io.github.deepep4j.fixtures.RankInput;
import io.github.deepep4j.fixtures.TestDevice;
import io.github.deepep4j.reference.NumberFormats;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import java.util.SplittableRandom;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Dispatch and combine are each other's backward: over all ranks {@code ⟨dispatch(x), y⟩ = ⟨x,
 * combine(y)⟩}. Rows are small integers, whose sums BF16 holds exactly, so the equality is exact.
 */
class GradientTest {
  private static final int HIDDEN = 56;

  @ParameterizedTest(name = "ep.seed={0}")
  @MethodSource("io.github.deepep4j.fixtures.Seeds#few")
  void shouldBeAdjoint_whenCombineIsTheBackwardOfDispatch(long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    int numRanks = 1 + random.nextInt(8);
    int numExperts = Scenarios.numExperts(random, numRanks);
    GlobalInput input = Scenarios.input(random, numRanks, numExperts, HIDDEN);
    boolean rankMajor = random.nextBoolean();
    AtomicLong atExperts = new AtomicLong();
    AtomicLong atTokens = new AtomicLong();
    AtomicLong weightsAtExperts = new AtomicLong();
    AtomicLong weightsAtTokens = new AtomicLong();
    RankEnd.run(
        numRanks,
        Scenarios.options(numExperts, HIDDEN),
        end -> {
          SplittableRandom own = new SplittableRandom(seed + 1 + end.rank);
          RankInput mine = input.rank(end.rank);
          try (HostTensors memory = new HostTensors()) {
            short[][] x = integers(own, mine.numTokens());
            float[][] weights = integerWeights(own, mine.numTokens(), input.numTopk());
            Tensor gate = memory.floats(weights, input.numTopk());
            try (DispatchResult rows =
                    end.buffer.dispatch(
                        memory.bf16(x, HIDDEN),
                        memory.indices(mine.topkIdx(), input.numTopk(), DType.INT64),
                        gate,
                        rankMajor
                            ? DispatchOptions.defaults()
                            : DispatchOptions.defaults().expertMajor(4).zeroFill());
                DispatchHandle handle = rows.handle()) {
              short[][] y = integers(own, rows.numReceived());
              Tensor weightGradient =
                  rankMajor
                      ? localWeights(own, rows, input.numTopk(), memory)
                      : rowWeights(own, rows, memory);
              atExperts.addAndGet(dot(y, TestDevice.read(rows.x(), Tensor::toShorts)));
              weightsAtExperts.addAndGet(
                  dot(
                      TestDevice.read(weightGradient, Tensor::toFloats),
                      TestDevice.read(
                          (rankMajor ? rows.topkWeights() : rows.weight()), Tensor::toFloats)));
              try (CombineResult sums =
                  end.buffer.combine(
                      memory.bf16(y, HIDDEN),
                      handle,
                      CombineOptions.defaults().topkWeights(weightGradient))) {
                atTokens.addAndGet(dot(x, TestDevice.read(sums.combined(), Tensor::toShorts)));
                weightsAtTokens.addAndGet(
                    dot(
                        TestDevice.read(gate, Tensor::toFloats),
                        TestDevice.read(sums.topkWeights(), Tensor::toFloats)));
              }
              // The backward of combine: the same rows again over the same routing.
              try (DispatchResult again =
                  end.buffer.dispatch(
                      memory.bf16(x, HIDDEN),
                      handle,
                      rankMajor
                          ? DispatchOptions.defaults()
                          : DispatchOptions.defaults().zeroFill())) {
                assertThat(TestDevice.read(again.x(), Tensor::toShorts))
                    .isEqualTo(TestDevice.read(rows.x(), Tensor::toShorts));
              }
            }
          }
        });
    assertThat(atExperts.get()).as("%s", input).isEqualTo(atTokens.get());
    assertThat(weightsAtExperts.get()).as("%s", input).isEqualTo(weightsAtTokens.get());
  }

  /** Rows of integers from −2 to 2, as BF16. */
  private static short[][] integers(SplittableRandom random, int rows) {
    short[][] drawn = new short[rows][HIDDEN];
    for (short[] row : drawn) {
      for (int i = 0; i < HIDDEN; i++) {
        row[i] = NumberFormats.floatToBf16(random.nextInt(5) - 2);
      }
    }
    return drawn;
  }

  private static float[][] integerWeights(SplittableRandom random, int rows, int columns) {
    float[][] drawn = new float[rows][columns];
    for (float[] row : drawn) {
      for (int i = 0; i < columns; i++) {
        row[i] = random.nextInt(9) - 4;
      }
    }
    return drawn;
  }

  /** A gradient of the received weights: nothing flows into choices that are elsewhere. */
  private static Tensor localWeights(
      SplittableRandom random, DispatchResult rows, int numTopk, HostTensors memory) {
    long[] choices = TestDevice.read(rows.topkIdx(), Tensor::toLongs);
    float[][] gradient = integerWeights(random, rows.numReceived(), numTopk);
    for (int i = 0; i < choices.length; i++) {
      gradient[i / numTopk][i % numTopk] *= choices[i] < 0 ? 0 : 1;
    }
    return memory.floats(gradient, numTopk);
  }

  private static Tensor rowWeights(
      SplittableRandom random, DispatchResult rows, HostTensors memory) {
    return memory.floats(CombineRound.flat(integerWeights(random, rows.numReceived(), 1)));
  }

  private static long dot(short[][] rows, short[] others) {
    double sum = 0;
    for (int i = 0; i < others.length; i++) {
      sum +=
          NumberFormats.bf16ToFloat(rows[i / HIDDEN][i % HIDDEN])
              * (double) NumberFormats.bf16ToFloat(others[i]);
    }
    return (long) sum;
  }

  private static long dot(float[] values, float[] others) {
    double sum = 0;
    for (int i = 0; i < values.length; i++) {
      sum += values[i] * (double) others[i];
    }
    return (long) sum;
  }
}
