package io.github.deepep4j.internal.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.SizeHint;
import io.github.deepep4j.tensor.Device;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** What a buffer on a GPU will take, asked where there may be none. */
@Tag("native")
final class BufferSizesTest {
  private static final Device GPU = Device.cuda(0);

  @Test
  void shouldTakeAnArenaAndNothingElse_whenThereIsOne() {
    BufferOptions options = BufferOptions.of(8, 64, 16).arenaBytes(1_000_001);
    SizeHint hint = SizeHint.of(options, 2, GPU);
    assertThat(hint.dispatchBytes()).isEqualTo((1_000_001 + 127) / 128 * 128);
    assertThat(hint.combineBytes()).isZero();
    assertThat(hint.deviceBytes())
        .isEqualTo(hint.controlBytes() + hint.dispatchBytes() + hint.privateBytes());
  }

  @Test
  void shouldGrowByWholeRegions_whenMoreAreAsked() {
    BufferOptions two = BufferOptions.of(8, 64, 16).expertMajor();
    SizeHint small = SizeHint.of(two, 2, GPU);
    SizeHint large = SizeHint.of(two.normalRegions(6), 2, GPU);
    assertThat(large.dispatchBytes()).isEqualTo(3 * small.dispatchBytes());
    assertThat(large.combineBytes()).isEqualTo(3 * small.combineBytes());
    // 16 tokens of 2 ranks to min(K, 4) experts, rows of 128 bytes.
    assertThat(small.combineBytes()).isGreaterThanOrEqualTo(2L * 2 * 16 * 4 * 128);
    assertThat(large.privateBytes()).isEqualTo(small.privateBytes());
  }

  @Test
  void shouldTakeMoreForHandles_whenMoreCanBeOpen() {
    BufferOptions options = BufferOptions.of(8, 64, 16);
    SizeHint few = SizeHint.of(options.maxOpenHandles(1), 2, GPU);
    SizeHint many = SizeHint.of(options.maxOpenHandles(101), 2, GPU);
    long handle = (many.privateBytes() - few.privateBytes()) / 100;
    assertThat(many.privateBytes() - few.privateBytes()).isEqualTo(100 * handle);
    // Rows, experts and weights of 16 tokens with K choices each.
    assertThat(handle).isGreaterThanOrEqualTo(3L * 4 * 16 * options.maxTopk());
    assertThat(few.pinnedBytes()).isPositive();
  }

  @Test
  void shouldTakeItsOwnMemory_whenThereIsLowLatency() {
    BufferOptions normal = BufferOptions.of(8, 64, 16);
    SizeHint without = SizeHint.of(normal, 2, GPU);
    SizeHint with = SizeHint.of(normal.lowLatency(), 2, GPU);
    SizeHint doubled = SizeHint.of(normal.lowLatency().lowLatencyRegions(4), 2, GPU);
    SizeHint alone = SizeHint.of(normal.lowLatencyOnly(), 2, GPU);
    assertThat(without.lowLatencyDispatchBytes() + without.lowLatencyCombineBytes()).isZero();
    assertThat(with.dispatchBytes()).isEqualTo(without.dispatchBytes());
    assertThat(with.combineBytes()).isEqualTo(without.combineBytes());
    // Two outputs of 4 experts' places for 16 tokens of 2 ranks, rows of 128 bytes.
    assertThat(with.lowLatencyCombineBytes()).isEqualTo(2L * 4 * 2 * 16 * 128);
    // Inboxes and regions, with each row's token beside it.
    assertThat(with.lowLatencyDispatchBytes()).isGreaterThan(2 * with.lowLatencyCombineBytes());
    assertThat(doubled.lowLatencyCombineBytes()).isEqualTo(2 * with.lowLatencyCombineBytes());
    assertThat(doubled.lowLatencyDispatchBytes()).isEqualTo(2 * with.lowLatencyDispatchBytes());
    assertThat(with.privateBytes()).isGreaterThan(without.privateBytes());
    assertThat(alone.dispatchBytes() + alone.combineBytes()).isZero();
    assertThat(alone.lowLatencyDispatchBytes()).isEqualTo(with.lowLatencyDispatchBytes());
    assertThat(alone.privateBytes()).isLessThan(with.privateBytes());
  }

  @Test
  void shouldRefuse_whenRanksCannotShareTheExperts() {
    assertThatThrownBy(() -> SizeHint.of(BufferOptions.of(8, 64, 16), 3, GPU))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("8 over 3");
  }
}
