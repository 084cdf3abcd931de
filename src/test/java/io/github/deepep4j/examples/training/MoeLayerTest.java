package io.github.deepep4j.examples.training;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.deepep4j.Buffer;
import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.group.LocalGroup;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The layer's gradients against central differences of the same function in float64: {@code L = Σ c
 * · out}, with {@code out[t] = Σ_k w[t,k] · f_k(x[t])}.
 */
final class MoeLayerTest {
  private static final int RANKS = 2;
  private static final int EXPERTS = 4;
  private static final int HIDDEN = 16;
  private static final int INNER = 8;
  private static final int TOKENS = 7;
  private static final long SEED = 20260101;

  /** Rows are rounded to BF16 (2⁻⁹ relative) three times on their way: relative to the largest. */
  private static final double TOLERANCE = 0.015;

  private static final double STEP = 1e-5;

  /** Inputs of all ranks and what the layer made of them. */
  private static final class Case {
    final float[][][] x = new float[RANKS][TOKENS][HIDDEN];
    final float[][][] c = new float[RANKS][TOKENS][HIDDEN]; // gradient of out
    final Routing[] routing = new Routing[RANKS];
    final float[][][] out = new float[RANKS][TOKENS][HIDDEN];
    final float[][][] dx = new float[RANKS][TOKENS][HIDDEN];
    final float[][] dWeights = new float[RANKS][];
    final List<ParameterStore> stores = new ArrayList<>();

    Case(int expertsInUse) {
      System.out.println("MoeLayerTest: seed " + SEED);
      SplittableRandom random = new SplittableRandom(SEED);
      for (int rank = 0; rank < RANKS; rank++) {
        int[] experts = new int[TOKENS * Routing.TOPK];
        float[] weights = new float[experts.length];
        for (int t = 0; t < TOKENS; t++) {
          experts[2 * t] = random.nextInt(expertsInUse);
          experts[2 * t + 1] = (experts[2 * t] + 1) % expertsInUse;
          weights[2 * t] = 0.5f + random.nextInt(100) / 256f;
          weights[2 * t + 1] = 1 - weights[2 * t];
          for (int i = 0; i < HIDDEN; i++) {
            x[rank][t][i] = bf16(random);
            c[rank][t][i] = bf16(random);
          }
        }
        routing[rank] = new Routing(experts, weights, new float[TOKENS][EXPERTS]);
        stores.add(new ParameterStore(SEED, 1));
      }
    }

    private static float bf16(SplittableRandom random) {
      return Bf16.toFloat(Bf16.of((float) (random.nextDouble() * 2 - 1)));
    }

    void run() {
      LocalGroup.run(
          RANKS,
          group -> {
            int rank = group.rank();
            try (Buffer buffer = buffer(group)) {
              MoeLayer layer = layer(buffer, rank);
              MoeLayer.Saved saved = layer.forward(x[rank], routing[rank], out[rank]);
              dWeights[rank] = layer.backward(saved, c[rank], dx[rank]);
              assertThat(saved.handle().isClosed()).isTrue();
              assertThat(buffer.statistics().openHandles()).isZero();
              assertThat(buffer.statistics().openResults()).isZero();
            }
          });
    }

    Buffer buffer(LocalGroup group) {
      return Buffer.create(
          group, BufferOptions.of(EXPERTS, HIDDEN, TOKENS).expertMajor().lowLatency());
    }

    MoeLayer layer(Buffer buffer, int rank) {
      List<Expert> experts = new ArrayList<>();
      int local = EXPERTS / RANKS;
      for (int e = rank * local; e < (rank + 1) * local; e++) {
        experts.add(
            new Expert(
                stores.get(rank).expert("up " + e, HIDDEN, INNER),
                stores.get(rank).expert("down " + e, INNER, HIDDEN)));
      }
      return new MoeLayer(buffer, experts, HIDDEN, new CommunicationClock());
    }

    Parameter up(int expert) {
      return stores.get(expert / 2).all().get(2 * (expert % 2));
    }

    Parameter down(int expert) {
      return stores.get(expert / 2).all().get(2 * (expert % 2) + 1);
    }

    /** L in float64, as it would be with one element of an input changed by {@code delta}. */
    double loss(float[] changed, int index, double delta) {
      double loss = 0;
      for (int rank = 0; rank < RANKS; rank++) {
        for (int t = 0; t < TOKENS; t++) {
          for (int k = 0; k < 2; k++) {
            int expert = routing[rank].experts()[2 * t + k];
            float[] weights = routing[rank].weights();
            double weight =
                weights[2 * t + k] + (weights == changed && 2 * t + k == index ? delta : 0);
            double[] inner = product(x[rank][t], up(expert).value(), changed, index, delta);
            for (int i = 0; i < INNER; i++) {
              inner[i] = Math.max(inner[i], 0) * Math.max(inner[i], 0);
            }
            for (int j = 0; j < HIDDEN; j++) {
              double y = 0;
              for (int i = 0; i < INNER; i++) {
                float[] row = down(expert).value()[i];
                y += inner[i] * (row[j] + (row == changed && j == index ? delta : 0));
              }
              loss += c[rank][t][j] * weight * y;
            }
          }
        }
      }
      return loss;
    }

    private static double[] product(
        float[] x, float[][] w, float[] changed, int index, double delta) {
      double[] y = new double[w[0].length];
      for (int i = 0; i < x.length; i++) {
        double xi = x[i] + (x == changed && i == index ? delta : 0);
        for (int j = 0; j < y.length; j++) {
          y[j] += xi * (w[i][j] + (w[i] == changed && j == index ? delta : 0));
        }
      }
      return y;
    }

    /** Central differences of all elements of some rows. */
    double[][] differences(float[][] rows) {
      double[][] differences = new double[rows.length][rows[0].length];
      for (int r = 0; r < rows.length; r++) {
        for (int i = 0; i < rows[r].length; i++) {
          differences[r][i] = (loss(rows[r], i, STEP) - loss(rows[r], i, -STEP)) / (2 * STEP);
        }
      }
      return differences;
    }
  }

  private static void assertClose(String what, float[][] actual, double[][] expected) {
    double largest = 0;
    double error = 0;
    for (int r = 0; r < expected.length; r++) {
      for (int i = 0; i < expected[r].length; i++) {
        largest = Math.max(largest, Math.abs(expected[r][i]));
        error = Math.max(error, Math.abs(expected[r][i] - actual[r][i]));
      }
    }
    assertThat(error).as(what).isLessThanOrEqualTo(TOLERANCE * largest);
  }

  @ParameterizedTest
  @ValueSource(ints = {EXPERTS, 2}) // with two, both on rank 0, rank 1 gets no row at all
  void shouldGiveTheGradientOfItsOutput_whenComparedWithFiniteDifferences(int expertsInUse) {
    Case moe = new Case(expertsInUse);
    moe.run();
    for (int rank = 0; rank < RANKS; rank++) {
      assertClose("dx of rank " + rank, moe.dx[rank], moe.differences(moe.x[rank]));
      assertClose(
          "d(weights) of rank " + rank,
          new float[][] {moe.dWeights[rank]},
          moe.differences(new float[][] {moe.routing[rank].weights()}));
    }
    for (int e = 0; e < EXPERTS; e++) {
      assertClose("up of expert " + e, moe.up(e).gradient(), moe.differences(moe.up(e).value()));
      assertClose(
          "down of expert " + e, moe.down(e).gradient(), moe.differences(moe.down(e).value()));
    }
  }

  @Test
  void shouldGiveNearlyTheSameRows_whenLowLatency() {
    Case moe = new Case(EXPERTS);
    float[][][] generated = new float[RANKS][TOKENS][HIDDEN];
    LocalGroup.run(
        RANKS,
        group -> {
          int rank = group.rank();
          try (Buffer buffer = moe.buffer(group)) {
            MoeLayer layer = moe.layer(buffer, rank);
            layer.forward(moe.x[rank], moe.routing[rank], moe.out[rank]);
            layer.generate(moe.x[rank], moe.routing[rank], generated[rank]);
          }
        });
    // Not the same bits: here combine applies the weights, and does so in float32.
    for (int rank = 0; rank < RANKS; rank++) {
      double[][] expected = new double[TOKENS][HIDDEN];
      for (int t = 0; t < TOKENS; t++) {
        for (int i = 0; i < HIDDEN; i++) {
          expected[t][i] = moe.out[rank][t][i];
        }
      }
      assertClose("rows of rank " + rank, generated[rank], expected);
    }
  }
}
