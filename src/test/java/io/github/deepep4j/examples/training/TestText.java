package io.github.deepep4j.examples.training;

import java.util.SplittableRandom;

/** A text that is easily made at any length: words in random order. */
final class TestText {
  private static final String[] WORDS = {
    "expert", "token", "rank", "row", "dispatch", "combine", "gate", "weight", "the", "of", "to"
  };

  private TestText() {}

  static String of(int characters) {
    SplittableRandom random = new SplittableRandom(5);
    StringBuilder text = new StringBuilder();
    while (text.length() < characters) {
      text.append(WORDS[random.nextInt(WORDS.length)]);
      text.append(random.nextInt(8) == 0 ? ".\n" : " ");
    }
    return text.substring(0, characters);
  }
}
