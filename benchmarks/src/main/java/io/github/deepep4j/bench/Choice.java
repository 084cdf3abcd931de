package io.github.deepep4j.bench;

/** A parameter with two values. */
final class Choice {
  private Choice() {}

  /** Whether it is the second of them. */
  static boolean of(String name, String value, String no, String yes) {
    if (!value.equals(no) && !value.equals(yes)) {
      throw new IllegalArgumentException(name + " must be " + no + " or " + yes + ": " + value);
    }
    return value.equals(yes);
  }
}
