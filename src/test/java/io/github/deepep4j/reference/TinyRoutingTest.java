package io.github.deepep4j.reference;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.deepep4j.fixtures.GlobalInput;
import io.github.deepep4j.fixtures.TinyRouting;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** The oracle against the picture in {@link TinyRouting}, by hand. */
class TinyRoutingTest {
  private final GlobalInput input = TinyRouting.input();

  @Test
  void shouldCountTheLayout_whenRoutingIsDrawn() {
    ReferenceLayout layout = new ReferenceLayout(input, 0);
    assertThat(layout.numTokensPerRank).containsExactly(2, 2, 1, 0);
    assertThat(layout.numTokensPerExpert).containsExactly(2, 1, 0, 2, 1, 0, 0, 0);
    assertThat(layout.numTokensPerNode).containsExactly(3);
    assertThat(new ReferenceLayout(input, 0, 2).numTokensPerNode).containsExactly(3, 1);
    assertThat(layout.isTokenInRank)
        .isDeepEqualTo(new byte[][] {{1, 1, 0, 0}, {1, 0, 0, 0}, {0, 1, 1, 0}});
    assertThat(new ReferenceLayout(input, 1, 2).numTokensPerNode).containsExactly(1, 1);
  }

  @Test
  void shouldReceiveRowsByRankAndToken_whenRankMajor() {
    ReferenceDispatch rank1 = ReferenceDispatch.rankMajor(input, 1, 2);
    assertThat(rank1.rows).containsExactly(row(0, 0), row(0, 2), row(1, 0), row(3, 0));
    assertThat(rank1.rankPrefix).containsExactly(2, 3, 3, 4);
    assertThat(rank1.tokensPerExpert).containsExactly(2, 4);
    assertThat(rank1.topkIdx())
        .isDeepEqualTo(new long[][] {{-1, 1, -1}, {-1, -1, 1}, {0, -1, -1}, {1, -1, -1}});
    assertThat(rank1.topkWeights())
        .isDeepEqualTo(new float[][] {{0, 0.25f, 0}, {0, 0, 0.125f}, {0.5f, 0, 0}, {0.5f, 0, 0}});
    assertThat(ReferenceDispatch.rankMajor(input, 3, 1).rows).isEmpty();
  }

  @Test
  void shouldReceiveRowsByExpert_whenExpertMajor() {
    ReferenceDispatch rank0 = ReferenceDispatch.expertMajor(input, 0, 2);
    assertThat(rank0.rows)
        .containsExactly(
            new RowOrigin(0, 0, 0),
            new RowOrigin(0, 1, 1),
            new RowOrigin(3, 0, 2),
            RowOrigin.PADDING,
            new RowOrigin(0, 1, 0),
            RowOrigin.PADDING);
    assertThat(rank0.expertOffsets).containsExactly(0, 4, 6);
    assertThat(rank0.tokensPerExpert).containsExactly(3, 1);
    assertThat(rank0.weights()).containsExactly(0.5f, 0.25f, 0.125f, 0, 0.5f, 0);
  }

  @Test
  void shouldSumTheRows_whenEveryRankReturnsWhatItGot() {
    List<ReferenceDispatch> received = received(true);
    short[][] combined =
        new ReferenceCombine(input, received, 0, TinyRouting.HIDDEN)
            .rankMajor(echo(received), null, null);
    // Token 0 went to two ranks, token 1 to one, token 2 to two.
    assertThat(value(combined[0])).isEqualTo(2 * TinyRouting.value(0, 0));
    assertThat(value(combined[1])).isEqualTo(TinyRouting.value(0, 1));
    assertThat(value(combined[2])).isEqualTo(2 * TinyRouting.value(0, 2));
  }

  @Test
  void shouldWeighTheRows_whenExpertMajorCombineIsWeighted() {
    List<ReferenceDispatch> received = received(false);
    ReferenceCombine rank1 = new ReferenceCombine(input, received, 1, TinyRouting.HIDDEN);
    short[][] combined = rank1.expertMajor(echo(received), true, null, null);
    assertThat(value(combined[0])).isEqualTo(11f * (0.5f + 0.25f + 0.125f));
    assertThat(value(combined[1])).isZero();
  }

  private List<ReferenceDispatch> received(boolean rankMajor) {
    List<ReferenceDispatch> received = new ArrayList<>();
    for (int rank = 0; rank < TinyRouting.NUM_RANKS; rank++) {
      received.add(
          rankMajor
              ? ReferenceDispatch.rankMajor(input, rank, 1)
              : ReferenceDispatch.expertMajor(input, rank, 1));
    }
    return received;
  }

  /** Experts that return their rows unchanged. */
  private short[][][] echo(List<ReferenceDispatch> received) {
    short[][][] y = new short[received.size()][][];
    for (int rank = 0; rank < y.length; rank++) {
      y[rank] =
          received.get(rank).rows.stream()
              .map(origin -> input.rank(origin.sourceRank()).x()[origin.sourceToken()])
              .toArray(short[][]::new);
    }
    return y;
  }

  private static RowOrigin row(int rank, int token) {
    return new RowOrigin(rank, token, -1);
  }

  private static float value(short[] row) {
    for (short bits : row) {
      assertThat(bits).isEqualTo(row[0]);
    }
    return NumberFormats.bf16ToFloat(row[0]);
  }
}
