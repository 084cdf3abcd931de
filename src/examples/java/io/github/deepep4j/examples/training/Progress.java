package io.github.deepep4j.examples.training;

import java.io.PrintStream;
import java.util.Locale;

/**
 * Shows how a training goes: on a terminal one line that is rewritten, else ten lines over the run.
 */
final class Progress implements Trainer.StepListener {
  private static final int BAR_WIDTH = 16;
  private static final int LINES = 10;
  private static final long REDRAW_NANOS = 100_000_000;

  private final PrintStream out;
  private final boolean bar;
  private final int steps;
  private final int tokensPerStep;
  private final long start = System.nanoTime();
  private long lastDrawn;

  Progress(PrintStream out, boolean bar, int steps, int tokensPerStep) {
    this.out = out;
    this.bar = bar;
    this.steps = steps;
    this.tokensPerStep = tokensPerStep;
  }

  @Override
  public void onStep(int step, double loss) {
    long now = System.nanoTime();
    boolean last = step == steps;
    if (bar) {
      if (last || now - lastDrawn >= REDRAW_NANOS) {
        lastDrawn = now;
        // Padded, so that nothing is left of a longer line; 79, so that no terminal wraps it.
        out.print("\r" + String.format("%-79s", bar(step) + line(step, loss, now)));
        out.print(last ? "\n" : "");
        out.flush();
      }
    } else if (last || step == 1 || step * LINES / steps != (step - 1) * LINES / steps) {
      out.println(line(step, loss, now));
    }
  }

  private String bar(int step) {
    int done = BAR_WIDTH * step / steps;
    return "[" + "#".repeat(done) + ".".repeat(BAR_WIDTH - done) + "] ";
  }

  private String line(int step, double loss, long now) {
    double seconds = (now - start) * 1e-9;
    double rate = step * (double) tokensPerStep / seconds;
    double left = seconds / step * (steps - step);
    return String.format(
        Locale.ROOT,
        "step %d/%d  loss %.3f  %,.0f tokens/s  %.0f s left",
        step,
        steps,
        loss,
        rate,
        left);
  }
}
