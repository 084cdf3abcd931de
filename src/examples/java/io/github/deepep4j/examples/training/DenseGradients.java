package io.github.deepep4j.examples.training;

import io.github.deepep4j.group.ProcessGroup;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.List;

/**
 * Sums the losses and the replicated weights' gradients of all shards, in shard order, on every
 * rank: an all-reduce with a fixed order. Ranks send their shards' parts one after another, and
 * ranks come in rank order, so the order of the sum does not depend on how many ranks there are.
 */
final class DenseGradients {
  private final ProcessGroup group;
  private final Shards shards;
  private final List<Parameter> parameters;
  private final ByteBuffer message;

  DenseGradients(ProcessGroup group, Shards shards, List<Parameter> parameters) {
    this.group = group;
    this.shards = shards;
    this.parameters = parameters;
    int elements = parameters.stream().mapToInt(Parameter::numElements).sum();
    this.message = ByteBuffer.allocate(shards.count() * (Double.BYTES + elements * Float.BYTES));
  }

  /**
   * Exchanges and sums. Collective.
   *
   * @param losses summed losses of this rank's shards
   * @return the sum over all shards
   */
  double sum(double[] losses) {
    byte[][] messages = group.allGather(pack(losses));
    for (Parameter parameter : parameters) {
      for (float[] row : parameter.gradient()) {
        Arrays.fill(row, 0);
      }
    }
    double loss = 0;
    for (byte[] bytes : messages) {
      ByteBuffer in = ByteBuffer.wrap(bytes);
      for (int s = 0; s < shards.count(); s++) {
        loss += in.getDouble();
        addPart(in);
      }
    }
    return loss;
  }

  private byte[] pack(double[] losses) {
    message.clear();
    for (int s = 0; s < shards.count(); s++) {
      message.putDouble(losses[s]);
      for (Parameter parameter : parameters) {
        for (float[] row : parameter.part(s)) {
          message.asFloatBuffer().put(row);
          message.position(message.position() + row.length * Float.BYTES);
        }
      }
    }
    return message.array();
  }

  private void addPart(ByteBuffer in) {
    for (Parameter parameter : parameters) {
      for (float[] row : parameter.gradient()) {
        float[] part = new float[row.length];
        in.asFloatBuffer().get(part);
        in.position(in.position() + row.length * Float.BYTES);
        RowMath.addScaled(1, part, row);
      }
    }
  }
}
