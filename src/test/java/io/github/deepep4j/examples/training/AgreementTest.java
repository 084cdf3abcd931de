package io.github.deepep4j.examples.training;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.deepep4j.group.LocalGroup;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The example's promise: the number of ranks does not change a bit of the loss curve. */
final class AgreementTest {
  private static final int SHARDS = 4;

  private static TrainingRun train(int ranks, String... more) {
    String[] small = {
      "--ranks",
      "4",
      "--experts",
      "8",
      "--hidden",
      "16",
      "--inner",
      "24",
      "--context",
      "5",
      "--embedding",
      "8",
      "--steps",
      "6",
      "--tokens",
      "30",
      "--seed",
      "7"
    };
    String[] args = new String[small.length + more.length];
    System.arraycopy(small, 0, args, 0, small.length);
    System.arraycopy(more, 0, args, small.length, more.length);
    DemoOptions options = new DemoOptions(args);
    Corpus corpus = Corpus.of("a test", TestText.of(6000), SHARDS);
    AtomicReference<@Nullable TrainingRun> result = new AtomicReference<>();
    LocalGroup.run(
        ranks,
        group -> {
          TrainingRun run = new Trainer(group, options, corpus, (step, loss) -> {}).run(3);
          if (group.rank() == ranks - 1) {
            result.set(run);
          }
        });
    TrainingRun run = result.get();
    assertThat(run).isNotNull();
    return run;
  }

  @ParameterizedTest
  @ValueSource(ints = {2, 4})
  void shouldGiveTheSameLossCurveBitForBit_whenExpertsAreSpread(int ranks) {
    TrainingRun many = train(ranks);
    TrainingRun one = train(1);

    Agreement agreement = Agreement.of(many, one);

    assertThat(agreement.sentence()).isEqualTo("EP=1 and EP=" + ranks + " agree bit for bit");
    assertThat(agreement.holds()).isTrue();
    assertThat(many.load()).isDeepEqualTo(one.load());
    assertThat(many.weights()).isEqualTo(one.weights());
    assertThat(many.samples()).hasSize(ranks);
  }

  @Test
  void shouldNameTheFirstStepThatDiffers_whenCurvesPart() {
    TrainingRun one = run(3.5, 3.25, 3.0, 2.5);
    TrainingRun other = run(3.5, 3.25, Math.nextUp(3.0), 2.5);

    Agreement agreement = Agreement.of(other, one);

    assertThat(agreement.holds()).isFalse();
    assertThat(agreement.sentence())
        .isEqualTo("EP=1 and EP=1 differ from step 3 on: loss 3.0 and 3.0000000000000004");
  }

  @Test
  void shouldNotAgree_whenTheSeedIsAnother() {
    assertThat(Agreement.of(train(4), train(1, "--seed", "8")).holds()).isFalse();
  }

  private static TrainingRun run(double... losses) {
    var shares = new TrainingRun.Shares(0, 0, 0);
    return new TrainingRun(1, losses, new int[0][][], 1, 1, shares, List.of(), 0);
  }
}
