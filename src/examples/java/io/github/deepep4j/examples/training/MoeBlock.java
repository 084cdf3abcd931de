package io.github.deepep4j.examples.training;

/** One residual block: {@code y = x + MoeLayer(RmsNorm(x))}. */
final class MoeBlock {
  private final RmsNorm norm;
  private final TopTwoGate gate;
  private final MoeLayer experts;
  private final float[][] normalised;
  private final float[][] moved; // what the experts add, and later its gradient's way back

  /** Makes a block for {@code rows} tokens. */
  MoeBlock(RmsNorm norm, TopTwoGate gate, MoeLayer experts, int rows) {
    this.norm = norm;
    this.gate = gate;
    this.experts = experts;
    this.normalised = new float[rows][norm.width()];
    this.moved = new float[rows][norm.width()];
  }

  /**
   * What backward needs of forward.
   *
   * @param x the block's input, not copied
   * @param routing what the gate chose
   * @param experts the layer's part
   */
  record Saved(float[][] x, Routing routing, MoeLayer.Saved experts) {}

  /** Writes y, which is another matrix than x. */
  Saved forward(float[][] x, float[][] y) {
    norm.forward(x, normalised);
    Routing routing = gate.forward(normalised);
    MoeLayer.Saved saved = experts.forward(normalised, routing, moved);
    add(x, moved, y);
    return new Saved(x, routing, saved);
  }

  /** Turns the gradient of y, in place, into that of x. */
  void backward(Saved saved, float[][] gradient) {
    float[] dWeights = experts.backward(saved.experts(), gradient, moved);
    gate.addBackward(normalised, saved.routing(), dWeights, moved);
    norm.addBackward(saved.x(), moved, gradient);
  }

  /** Forward of a few rows in place. */
  void generate(float[][] x) {
    float[][] rows = new float[x.length][x[0].length];
    norm.forward(x, rows);
    float[][] added = new float[x.length][x[0].length];
    Routing routing = gate.forward(rows);
    experts.generate(rows, routing, added);
    add(x, added, x);
  }

  private static void add(float[][] a, float[][] b, float[][] sum) {
    for (int r = 0; r < a.length; r++) {
      for (int i = 0; i < a[r].length; i++) {
        sum[r][i] = a[r][i] + b[r][i];
      }
    }
  }
}
