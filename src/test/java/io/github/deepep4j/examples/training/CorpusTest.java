package io.github.deepep4j.examples.training;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class CorpusTest {
  @Test
  void shouldSayHowLongATextMustBe_whenTooShort(@TempDir Path directory) throws IOException {
    Path file = Files.writeString(directory.resolve("short.txt"), "x".repeat(4095));
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Corpus.ofFile(file, 4))
        .withMessage("a text must have at least 4096 characters, " + file + " has 4095");
    Files.writeString(file, "x".repeat(4096));
    assertThat(Corpus.ofFile(file, 4).numCharacters()).isEqualTo(4096);
  }

  @Test
  void shouldSaySo_whenNotUtf8(@TempDir Path directory) throws IOException {
    Path file = Files.write(directory.resolve("bytes"), new byte[] {(byte) 0xC3, 'x'});
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Corpus.ofFile(file, 4))
        .withMessage("not UTF-8 text: " + file);
  }

  @Test
  void shouldReadTheRepositorysOwnText_whenNoFileIsGiven() throws IOException {
    Corpus corpus = Corpus.ofRepository(Path.of(""), 4);
    assertThat(corpus.numCharacters()).isGreaterThan(10_000);
    assertThat(corpus.vocabularySize()).isBetween(60, 128);
  }

  @Test
  void shouldReadRareCharactersAsOne_whenThereAreTooMany() {
    StringBuilder text = new StringBuilder("a".repeat(4096));
    for (int i = 0; i < 200; i++) {
      text.appendCodePoint(0x1F300 + i);
    }
    Corpus corpus = Corpus.of("a test", text.toString(), 1);
    assertThat(corpus.vocabularySize()).isEqualTo(128);
    assertThat(corpus.numCharacters()).isEqualTo(4296);
  }

  @Test
  void shouldGiveAShardTheSameTokens_whicheverRankHasIt() {
    Corpus corpus = Corpus.of("a test", TestText.of(5000), 4);
    Batch whole = corpus.batch(Shards.ofRank(4, 10, 0, 1), 6, 1, 3);
    for (int rank = 0; rank < 4; rank++) {
      Batch part = corpus.batch(Shards.ofRank(4, 10, rank, 4), 6, 1, 3);
      int from = rank * 10;
      assertThat(part.contexts())
          .isDeepEqualTo(Arrays.copyOfRange(whole.contexts(), from, from + 10));
      assertThat(part.targets()).isEqualTo(Arrays.copyOfRange(whole.targets(), from, from + 10));
    }
    assertThat(corpus.batch(Shards.ofRank(4, 10, 0, 1), 6, 1, 4).targets())
        .isNotEqualTo(whole.targets());
  }

  @Test
  void shouldStartAtALine_whenAskedForAPrompt() {
    String text = TestText.of(5000);
    Corpus corpus = Corpus.of("a test", text, 4);
    assertThat(corpus.text(corpus.prompt(0, 12))).isEqualTo(text.substring(0, 12));
    assertThat(text).contains("\n" + corpus.text(corpus.prompt(2, 12)));
    Corpus indented = Corpus.of("a test", text.replace("\n", "\n\n    "), 2);
    assertThat(text).contains("\n" + indented.text(indented.prompt(1, 4)));
  }
}
