package io.github.deepep4j.examples.training;

/**
 * Whether two runs have the same loss curve, bit for bit.
 *
 * @param sentence for the reader
 * @param holds true if no step differs
 */
record Agreement(String sentence, boolean holds) {
  static Agreement of(TrainingRun many, TrainingRun one) {
    String names = "EP=" + one.ranks() + " and EP=" + many.ranks();
    for (int step = 0; step < many.losses().length; step++) {
      double a = one.losses()[step];
      double b = many.losses()[step];
      // Bits and not ==, so that two runs that end in NaN agree, and 0 and -0 do not.
      if (Double.doubleToRawLongBits(a) != Double.doubleToRawLongBits(b)) {
        return new Agreement(
            names + " differ from step " + (step + 1) + " on: loss " + a + " and " + b, false);
      }
    }
    return new Agreement(names + " agree bit for bit", true);
  }
}
