package io.github.deepep4j.examples.training;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.SplittableRandom;
import org.assertj.core.data.Offset;
import org.junit.jupiter.api.Test;

final class TopTwoGateTest {
  private static final int HIDDEN = 8;
  private static final int EXPERTS = 4;
  private static final int TOKENS = 20;
  private static final float BALANCE = 0.5f;

  private final Shards shards = Shards.ofRank(1, TOKENS, 0, 1);
  private final Parameter weight = new ParameterStore(11, 1).dense("gate", HIDDEN, EXPERTS);
  private final TopTwoGate gate = new TopTwoGate(weight, shards, BALANCE);
  private final float[][] x = new float[TOKENS][HIDDEN];

  /** Draws tokens whose choice does not change within a finite difference. */
  TopTwoGateTest() {
    SplittableRandom random = new SplittableRandom(12);
    for (float[] row : x) {
      do {
        for (int i = 0; i < HIDDEN; i++) {
          row[i] = (float) (random.nextDouble() * 2 - 1);
        }
      } while (smallestGap(row) < 0.05f);
    }
  }

  private float smallestGap(float[] row) {
    float[] logits = new float[EXPERTS];
    RowMath.addProduct(row, weight.value(), logits);
    Arrays.sort(logits);
    float gap = Float.MAX_VALUE;
    for (int e = 1; e < EXPERTS; e++) {
      gap = Math.min(gap, logits[e] - logits[e - 1]);
    }
    return gap;
  }

  @Test
  void shouldChooseTheTwoLikeliest_whenAnyToken() {
    Routing routing = gate.forward(x);
    for (int t = 0; t < TOKENS; t++) {
      int first = routing.experts()[2 * t];
      int second = routing.experts()[2 * t + 1];
      float[] probabilities = routing.probabilities()[t];
      for (int e = 0; e < EXPERTS; e++) {
        if (e != first && e != second) {
          assertThat(probabilities[e]).isLessThanOrEqualTo(probabilities[second]);
        }
      }
      assertThat(first).isNotEqualTo(second);
      assertThat(probabilities[second]).isLessThanOrEqualTo(probabilities[first]);
      float share = probabilities[first] / (probabilities[first] + probabilities[second]);
      assertThat(routing.weights()[2 * t]).isCloseTo(share, Offset.offset(1e-6f));
      assertThat(routing.weights()[2 * t] + routing.weights()[2 * t + 1]).isEqualTo(1f);
    }
  }

  /** {@code Σ a · weights + balance}, with the shares of choices held as they were. */
  private double objective(Routing start, float[] a) {
    Routing now = gate.forward(x);
    double sum = 0;
    int[] counts = new int[EXPERTS];
    for (int i = 0; i < a.length; i++) {
      sum += a[i] * now.weights()[i];
      counts[start.experts()[i]]++;
    }
    for (int e = 0; e < EXPERTS; e++) {
      double mean = 0;
      for (int t = 0; t < TOKENS; t++) {
        mean += now.probabilities()[t][e] / TOKENS;
      }
      sum += BALANCE * EXPERTS * mean * counts[e] / a.length;
    }
    return sum;
  }

  @Test
  void shouldGiveTheGradient_whenComparedWithFiniteDifferences() {
    Routing start = gate.forward(x);
    float[] a = new float[2 * TOKENS];
    for (int i = 0; i < a.length; i++) {
      a[i] = (i % 5 - 2) / 8f;
    }
    gate.addBackward(x, start, a, new float[TOKENS][HIDDEN]);
    float step = 1e-3f;
    for (int i = 0; i < HIDDEN; i++) {
      for (int e = 0; e < EXPERTS; e++) {
        float before = weight.value()[i][e];
        weight.value()[i][e] = before + step;
        double up = objective(start, a);
        weight.value()[i][e] = before - step;
        double down = objective(start, a);
        weight.value()[i][e] = before;
        assertThat(weight.gradient()[i][e])
            .as("input %d, expert %d", i, e)
            .isCloseTo((float) ((up - down) / (2 * step)), Offset.offset(2e-3f));
      }
    }
  }
}
