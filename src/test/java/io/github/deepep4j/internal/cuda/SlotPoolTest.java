package io.github.deepep4j.internal.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;

final class SlotPoolTest {
  @Test
  void shouldGiveTheLongestFreeSlot_whenSeveralAreFree() {
    SlotPool pool = new SlotPool("dispatch region", 3);
    assertThat(pool.take("dispatch", 1)).isZero();
    assertThat(pool.take("dispatch", 2)).isEqualTo(1);
    pool.give(1);
    assertThat(pool.take("dispatch", 3)).isEqualTo(2);
    pool.give(0);
    assertThat(pool.take("dispatch", 4)).isEqualTo(1);
    assertThat(pool.take("dispatch", 5)).isZero();
    assertThat(pool.taken()).isEqualTo(3);
  }

  @Test
  void shouldNameWhoHoldsThem_whenNoneIsFree() {
    SlotPool pool = new SlotPool("dispatch region", 2);
    pool.take("dispatch", 7);
    pool.take("cached dispatch", 8);
    assertThatThrownBy(() -> pool.take("dispatch", 9))
        .isInstanceOf(IllegalStateException.class)
        .hasMessage(
            "no free dispatch region for dispatch #9: 2 in use by dispatch #7, cached dispatch #8");
  }
}
