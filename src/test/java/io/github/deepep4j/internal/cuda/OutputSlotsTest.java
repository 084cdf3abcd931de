package io.github.deepep4j.internal.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.deepep4j.Event;
import io.github.deepep4j.Stream;
import io.github.deepep4j.internal.backend.PendingResult;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** The two rules by which ranks that leave different combines open still come forward. */
final class OutputSlotsTest {
  /** A combine that says when it is received, and gives its slot back then. */
  private static final class FakeCombine implements PendingResult {
    private final OutputSlots slots;
    private final int slot;
    private boolean received;

    FakeCombine(OutputSlots slots, int slot) {
      this.slots = slots;
      this.slot = slot;
    }

    @Override
    public void receive() {
      assertThat(received).isFalse();
      received = true;
      slots.give(slot);
    }

    @Override
    public boolean isReceived() {
      return received;
    }

    @Override
    public Event event() {
      return Event.completed();
    }

    @Override
    public void close(@Nullable Stream stream) {}

    @Override
    public void discard() {}

    @Override
    public boolean isClosed() {
      return false;
    }

    @Override
    public String describe() {
      return "combine in " + slot;
    }
  }

  private static FakeCombine enter(OutputSlots slots, String name) {
    slots.requireFree(name);
    slots.receiveOverdue();
    int slot = slots.take(name);
    FakeCombine combine = new FakeCombine(slots, slot);
    slots.entered(slot, combine);
    return combine;
  }

  /** Ranks that are a combine apart in what they leave open, as calls come one after the other. */
  @Test
  void shouldOfferOnlyWhatAllHaveRead_whenOthersLeaveDifferentCombinesOpen() {
    OutputSlots slots = new OutputSlots(2, null);
    assertThat(slots.emptyOutput()).isZero(); // never used
    FakeCombine first = enter(slots, "combine #1");
    assertThat(slots.emptyOutput()).isEqualTo(1);
    first.receive();
    assertThat(slots.emptyOutput()).isEqualTo(1);
    FakeCombine second = enter(slots, "combine #2");
    second.receive();
    slots.receiveOverdue(); // as every rank does before the next dispatch: the first is read there
    assertThat(slots.emptyOutput()).isZero();
    int taken = slots.take("input");
    // The second may be unread on another rank until it enters the call after the next.
    assertThat(slots.emptyOutput()).isEqualTo(-1);
    slots.give(taken);
    assertThat(slots.emptyOutput()).isZero();
  }

  @Test
  void shouldReceiveWhatIsAsOldAsTheSlots_whenAnotherCombineComes() {
    OutputSlots slots = new OutputSlots(2, null);
    FakeCombine first = enter(slots, "combine #1");
    FakeCombine second = enter(slots, "combine #2");
    second.receive();
    FakeCombine third = enter(slots, "combine #3");
    assertThat(first.isReceived()).isTrue();
    assertThat(third.isReceived()).isFalse();
  }

  @Test
  void shouldNameTheHoldersAndReceiveNothing_whenEverySlotIsHeld() {
    OutputSlots slots = new OutputSlots(2, null);
    FakeCombine first = enter(slots, "combine #2");
    enter(slots, "combine #3");
    assertThatThrownBy(() -> enter(slots, "combine #4"))
        .isInstanceOf(IllegalStateException.class)
        .hasMessage(
            "no free expert output region for combine #4: 2 in use by combine #2, combine #3");
    assertThat(first.isReceived()).isFalse();
  }

  @Test
  void shouldReceiveSooner_whenSlotsAreInTheCallersHands() {
    OutputSlots slots = new OutputSlots(2, null);
    Object handle = new Object();
    int handedOut = slots.take("input");
    slots.handOut(handedOut, 4096, 100, handle);
    FakeCombine first = enter(slots, "combine #1");
    first.receive();
    FakeCombine second = enter(slots, "combine #2");
    assertThat(second.slot).isNotEqualTo(handedOut);
    assertThat(slots.reclaim(4096, 101, handle)).isEqualTo(-1);
    assertThat(slots.reclaim(4096, 100, new Object())).isEqualTo(-1);
    assertThat(slots.reclaim(4096, 100, handle)).isEqualTo(handedOut);
    assertThat(slots.reclaim(4096, 100, handle)).isEqualTo(-1);
  }

  @Test
  void shouldGiveBackWhatWasNeverCombined_whenItsHandleEnds() {
    OutputSlots slots = new OutputSlots(1, null);
    Object handle = new Object();
    for (int i = 0; i < 3; i++) {
      slots.handOut(slots.take("input"), 4096, 100, handle);
      slots.discard(new Object());
      assertThatThrownBy(() -> slots.requireFree("input"))
          .isInstanceOf(IllegalStateException.class);
      slots.discard(handle);
    }
    slots.requireFree("input");
  }

  /** Whatever is left open, the slot taken is of a combine that every rank has received by now. */
  @Test
  void shouldTakeASlotThatAllHaveReceived_whenCombinesAreReceivedInAnyOrder() {
    long seed = new SplittableRandom().nextLong();
    SplittableRandom random = new SplittableRandom(seed);
    for (int numSlots = 1; numSlots <= 4; numSlots++) {
      OutputSlots slots = new OutputSlots(numSlots, null);
      long[] lastOf = new long[numSlots];
      Arrays.fill(lastOf, -1);
      List<FakeCombine> open = new ArrayList<>();
      for (long number = 0; number < 300; number++) {
        open.removeIf(FakeCombine::isReceived);
        while (open.size() == numSlots || (!open.isEmpty() && random.nextBoolean())) {
          open.remove(random.nextInt(open.size())).receive();
        }
        FakeCombine combine = enter(slots, "combine #" + number);
        assertThat(lastOf[combine.slot])
            .as("seed %d, %d slots, combine %d", seed, numSlots, number)
            .isLessThanOrEqualTo(Math.max(-1, number - numSlots));
        lastOf[combine.slot] = number;
        open.add(combine);
      }
    }
  }
}
