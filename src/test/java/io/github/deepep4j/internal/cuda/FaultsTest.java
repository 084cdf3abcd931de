package io.github.deepep4j.internal.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.TimeoutPolicy;
import io.github.deepep4j.error.EpCapacityException;
import io.github.deepep4j.error.EpException;
import io.github.deepep4j.error.EpMaskedException;
import io.github.deepep4j.error.EpTimeoutException;
import io.github.deepep4j.internal.cuda.binding.Abi;
import io.github.deepep4j.internal.cuda.binding.ErrorRecord;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Device reports as exceptions, for a rank 1 of a buffer with 8 experts. No device is asked. */
final class FaultsTest {
  private static final BufferOptions OPTIONS = BufferOptions.of(8, 64, 16);
  private static final int ARRIVAL = 3;
  private static final int OUTPUT = 4;
  private static final int LATE = 7;

  private final ErrorRecord seen = new ErrorRecord();
  private final Faults faults = new Faults(1, OPTIONS, 0);

  @AfterEach
  void free() {
    seen.close();
    faults.close();
  }

  private void report(int fault, int stage, int peer) {
    seen.reset();
    seen.putInt(ErrorRecord.FAULT, fault);
    seen.putInt(ErrorRecord.STAGE, stage);
    seen.putInt(ErrorRecord.PEER, peer);
    seen.putInt(ErrorRecord.ORIGIN, 1);
  }

  @Test
  void shouldNameThePeerAndEndTheBuffer_whenAWaitTimesOut() {
    report(Abi.FAULT_TIMEOUT, ARRIVAL, 3);
    EpException error = faults.translate(seen, "combine");
    assertThat(error)
        .isInstanceOfSatisfying(
            EpTimeoutException.class,
            timeout -> {
              assertThat(timeout.culprit()).isEqualTo(3);
              assertThat(timeout.origin()).isEqualTo(1);
              assertThat(timeout.stage()).isEqualTo("arrival");
              assertThat(timeout.operation()).isEqualTo("dispatch");
            });
    assertThatThrownBy(() -> faults.check("combine")).isSameAs(error);
  }

  @Test
  void shouldEndTheBuffer_whenALateWriterDoesNotComeAndTimeoutsMask() {
    Faults masking = new Faults(1, OPTIONS.onTimeout(TimeoutPolicy.MASK), 0);
    report(Abi.FAULT_TIMEOUT, LATE, 3);
    assertThat(masking.translate(seen, "dispatch"))
        .isInstanceOfSatisfying(
            EpTimeoutException.class,
            timeout -> assertThat(timeout.stage()).isEqualTo("late rows"));
    assertThat(masking.hasFailed()).isTrue();
    masking.close();
  }

  @Test
  void shouldThrowUntilUnmasked_whenAPeerHasMaskedThisRank() {
    report(Abi.FAULT_MASKED, ARRIVAL, 2);
    faults.translate(seen, "dispatch");
    for (int i = 0; i < 2; i++) {
      assertThatThrownBy(() -> faults.check("combine"))
          .isInstanceOf(EpMaskedException.class)
          .hasMessageContaining("combine");
    }
    assertThat(faults.hasFailed()).isFalse();
    faults.unmasked();
    faults.check("combine");
  }

  @Test
  void shouldThrowTheFirstFailure_whenThereAreSeveral() {
    report(Abi.FAULT_TIMEOUT, ARRIVAL, 3);
    EpException first = faults.translate(seen, "combine");
    report(Abi.FAULT_PEER_FAILED, OUTPUT, 2);
    faults.translate(seen, "combine");
    assertThatThrownBy(() -> faults.check("combine")).isSameAs(first);
  }

  @Test
  void shouldSayThatTheRankIsGone_whenItIsItsOwnCulprit() {
    report(Abi.FAULT_PEER_FAILED, 0, 2);
    seen.putInt(ErrorRecord.ORIGIN, 2);
    assertThat(faults.translate(seen, "dispatch"))
        .isInstanceOfSatisfying(
            EpException.class,
            error -> assertThat(error.code()).isEqualTo(EpException.Code.ABORTED))
        .hasMessageContaining("rank 2");
  }

  @Test
  void shouldTellOnce_whenABoundedCallWasDropped() {
    report(Abi.FAULT_OVERFLOW, ARRIVAL, 2);
    faults.translate(seen, "dispatch");
    assertThatThrownBy(() -> faults.check("combine")).isInstanceOf(EpCapacityException.class);
    faults.check("combine");
  }

  @Test
  void shouldNameBothCallsAndTheOrigin_whenAMismatchIsReported() {
    report(Abi.FAULT_MISMATCH, 0, 2);
    seen.putInt(ErrorRecord.ORIGIN, 0);
    seen.putLong(ErrorRecord.ORIGIN_CALL, 1 | 8L << 40);
    seen.putLong(ErrorRecord.PEER_CALL, 3);
    assertThat(faults.translate(seen, "dispatch"))
        .hasMessageContaining("on rank 0 and combine(")
        .hasMessageContaining("on rank 2 (the calls must be alike; reported by rank 0)");
  }

  @Test
  void shouldReportTheOriginsCulprit_whenAPeerGaveUp() {
    report(Abi.FAULT_PEER_FAILED, OUTPUT, 2);
    seen.putInt(ErrorRecord.ORIGIN, 0);
    assertThat(faults.translate(seen, "combine"))
        .isInstanceOfSatisfying(
            EpTimeoutException.class,
            timeout -> {
              assertThat(timeout.culprit()).isEqualTo(2);
              assertThat(timeout.origin()).isZero();
              assertThat(timeout).hasMessageContaining("reported by rank 0");
            });
  }

  @Test
  void shouldSayMasked_whenAPeerHasMaskedThisRank() {
    report(Abi.FAULT_MASKED, ARRIVAL, 2);
    assertThat(faults.translate(seen, "dispatch"))
        .isInstanceOfSatisfying(
            EpMaskedException.class,
            masked -> {
              assertThat(masked.maskedRank()).isEqualTo(1);
              assertThat(masked.maskedBy()).isEqualTo(2);
            });
  }

  @Test
  void shouldLeaveTheBufferUsable_whenABoundedCallOverflows() {
    report(Abi.FAULT_OVERFLOW, ARRIVAL, 2);
    seen.putLong(ErrorRecord.NEEDED, 12);
    seen.putLong(ErrorRecord.CAPACITY, 10);
    assertThat(faults.translate(seen, "combine"))
        .isInstanceOfSatisfying(
            EpCapacityException.class,
            full -> {
              assertThat(full.fullRank()).isEqualTo(2);
              assertThat(full.needed()).isEqualTo(12);
              assertThat(full.capacity()).isEqualTo(10);
            });
    assertThat(faults.hasFailed()).isFalse();
  }

  @Test
  void shouldNameBothCalls_whenRanksAreInDifferentOnes() {
    report(Abi.FAULT_MISMATCH, 0, 0);
    seen.putLong(ErrorRecord.EXPECTED, 5);
    // A dispatch, rank-major, of BF16 rows of 128 bytes with K=2 INT64 and weights ...
    seen.putLong(ErrorRecord.ORIGIN_CALL, 1 | 8L << 40 | 1L << 48);
    seen.putLong(ErrorRecord.ORIGIN_CALL + 8, 128L << 32);
    seen.putLong(ErrorRecord.ORIGIN_CALL + 16, 2L << 32 | 1);
    // ... and a weighted, expert-major combine over the routing of call 3.
    seen.putLong(ErrorRecord.PEER_CALL, 3 | 1L << 8 | 1L << 56);
    seen.putLong(ErrorRecord.PEER_CALL + 8, 128L << 32);
    seen.putLong(ErrorRecord.PEER_CALL + 16, 2L << 32 | 1);
    seen.putLong(ErrorRecord.PEER_CALL + 24, 3);
    EpException error = faults.translate(seen, "dispatch");
    assertThat(error)
        .hasMessage(
            "MISMATCH in dispatch on rank 1: call 5 is dispatch(rank-major, BF16 rows of 128 bytes,"
                + " K=2 INT64, with weights) on rank 1 and combine(expert-major, BF16 rows of 128"
                + " bytes, weighted, handle of call 3) on rank 0 (the calls must be alike)");
    assertThat(faults.hasFailed()).isTrue();
  }

  @Test
  void shouldNameBothCalls_whenAPeerHasOvertaken() {
    report(Abi.FAULT_OVERTAKEN, ARRIVAL, 2);
    seen.putLong(ErrorRecord.EXPECTED, 5);
    seen.putLong(ErrorRecord.SEEN, 7);
    assertThat(faults.translate(seen, "dispatch"))
        .hasMessageContaining("rank 2 is in call 7")
        .hasMessageContaining("waits in call 5");
  }
}
