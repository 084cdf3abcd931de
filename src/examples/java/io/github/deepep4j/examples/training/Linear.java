package io.github.deepep4j.examples.training;

/** {@code y = x · W} with a replicated weight. */
final class Linear {
  private final Parameter weight; // [in][out]
  private final Shards shards;

  Linear(Parameter weight, Shards shards) {
    this.weight = weight;
    this.shards = shards;
  }

  /** Any number of rows. */
  void forward(float[][] x, float[][] y) {
    RowMath.multiply(x, weight.value(), y, 0, x.length);
  }

  /** Overwrites dx and adds to the weight's parts, shard by shard. */
  void backward(float[][] x, float[][] dy, float[][] dx) {
    RowMath.multiply(dy, RowMath.transpose(weight.value()), dx, 0, dy.length);
    for (int i = 0; i < shards.count(); i++) {
      RowMath.addOuter(x, dy, weight.part(i), shards.from(i), shards.to(i));
    }
  }
}
