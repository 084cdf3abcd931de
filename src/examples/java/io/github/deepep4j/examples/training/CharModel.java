package io.github.deepep4j.examples.training;

import io.github.deepep4j.Buffer;
import java.util.ArrayList;
import java.util.List;

/**
 * Predicts a character from those before it: their embeddings side by side, mixed into one row;
 * Mixture-of-Experts blocks; a linear head. Embedding, mix, gates, norms and head are replicated on
 * every rank, the experts are spread over the ranks.
 */
final class CharModel {
  private final ModelShape shape;
  private final Shards shards;
  private final Parameter embedding; // [vocabulary][embedding]
  private final Linear mix; // [context * embedding][hidden]
  private final List<MoeBlock> blocks = new ArrayList<>();
  private final RmsNorm norm;
  private final Linear head; // [hidden][vocabulary]

  // One step's rows, from forward to backward.
  private final float[][] embedded; // [rows][context * embedding]
  private final float[][][] states; // [layers + 1][rows][hidden]
  private final float[][] normalised; // [rows][hidden]
  private final float[][] logits; // [rows][vocabulary], then their gradient
  private final List<MoeBlock.Saved> saved = new ArrayList<>();

  CharModel(ModelShape shape, Shards shards, ParameterStore parameters, Experts experts) {
    this.shape = shape;
    this.shards = shards;
    embedding = parameters.dense("embedding", shape.vocabulary(), shape.embedding());
    int mixed = shape.context() * shape.embedding();
    mix = new Linear(parameters.dense("mix", mixed, shape.hidden()), shards);
    for (int layer = 0; layer < shape.layers(); layer++) {
      blocks.add(
          new MoeBlock(
              new RmsNorm(parameters.denseOnes("norm " + layer, shape.hidden()), shards),
              new TopTwoGate(
                  parameters.dense("gate " + layer, shape.hidden(), shape.experts()),
                  shards,
                  shape.balance()),
              experts.layer(layer, shape, parameters),
              shards.rows()));
    }
    norm = new RmsNorm(parameters.denseOnes("final norm", shape.hidden()), shards);
    head = new Linear(parameters.dense("head", shape.hidden(), shape.vocabulary()), shards);
    embedded = new float[shards.rows()][mixed];
    states = new float[shape.layers() + 1][shards.rows()][shape.hidden()];
    normalised = new float[shards.rows()][shape.hidden()];
    logits = new float[shards.rows()][shape.vocabulary()];
  }

  /**
   * Where this rank's experts are called.
   *
   * @param buffer this rank's end
   * @param first the rank's first expert
   * @param count experts of this rank
   * @param clock told how long dispatch and combine take
   */
  record Experts(Buffer buffer, int first, int count, CommunicationClock clock) {
    MoeLayer layer(int layer, ModelShape shape, ParameterStore parameters) {
      List<Expert> experts = new ArrayList<>();
      for (int e = first; e < first + count; e++) {
        String name = "layer " + layer + " expert " + e;
        experts.add(
            new Expert(
                parameters.expert(name + " up", shape.hidden(), shape.inner()),
                parameters.expert(name + " down", shape.inner(), shape.hidden())));
      }
      return new MoeLayer(buffer, experts, shape.hidden(), clock);
    }
  }

  /**
   * Forward. Collective.
   *
   * @return the sum of the losses of each shard of this rank, in nats
   */
  double[] forward(Batch batch) {
    embed(batch.contexts(), embedded);
    mix.forward(embedded, states[0]);
    saved.clear();
    for (int layer = 0; layer < blocks.size(); layer++) {
      saved.add(blocks.get(layer).forward(states[layer], states[layer + 1]));
    }
    norm.forward(states[blocks.size()], normalised);
    head.forward(normalised, logits);
    return lossAndGradient(batch.targets());
  }

  /** Backward of the mean loss over all ranks' tokens: fills the parameters' parts. Collective. */
  void backward(Batch batch) {
    float[][] dNormalised = new float[shards.rows()][shape.hidden()];
    head.backward(normalised, logits, dNormalised);
    float[][] gradient = new float[shards.rows()][shape.hidden()];
    norm.addBackward(states[blocks.size()], dNormalised, gradient);
    for (int layer = blocks.size() - 1; layer >= 0; layer--) {
      blocks.get(layer).backward(saved.get(layer), gradient);
    }
    float[][] dEmbedded = new float[shards.rows()][embedded[0].length];
    mix.backward(embedded, gradient, dEmbedded);
    addEmbeddingGradient(batch.contexts(), dEmbedded);
  }

  /** Tokens of each of this rank's experts in the last forward, {@code [layers][localExperts]}. */
  int[][] load() {
    return saved.stream().map(block -> block.experts().load()).toArray(int[][]::new);
  }

  /**
   * Logits of what follows each context, with the low-latency calls if there are. Collective.
   *
   * @return {@code [contexts][vocabulary]}
   */
  float[][] generate(int[][] contexts) {
    float[][] rows = new float[contexts.length][embedded[0].length];
    embed(contexts, rows);
    float[][] state = new float[contexts.length][shape.hidden()];
    mix.forward(rows, state);
    blocks.forEach(block -> block.generate(state));
    float[][] last = new float[contexts.length][shape.hidden()];
    norm.forward(state, last);
    float[][] next = new float[contexts.length][shape.vocabulary()];
    head.forward(last, next);
    return next;
  }

  private void embed(int[][] contexts, float[][] rows) {
    int width = shape.embedding();
    for (int r = 0; r < contexts.length; r++) {
      for (int c = 0; c < shape.context(); c++) {
        System.arraycopy(embedding.value()[contexts[r][c]], 0, rows[r], c * width, width);
      }
    }
  }

  private void addEmbeddingGradient(int[][] contexts, float[][] dEmbedded) {
    int width = shape.embedding();
    for (int s = 0; s < shards.count(); s++) {
      for (int r = shards.from(s); r < shards.to(s); r++) {
        for (int c = 0; c < shape.context(); c++) {
          float[] sum = embedding.part(s)[contexts[r][c]];
          for (int i = 0; i < width; i++) {
            sum[i] += dEmbedded[r][c * width + i];
          }
        }
      }
    }
  }

  /** Cross entropy; turns the logits into the gradient of the mean over all ranks' tokens. */
  private double[] lossAndGradient(int[] targets) {
    double[] losses = new double[shards.count()];
    float scale = 1f / shards.tokensOfAllRanks();
    for (int s = 0; s < shards.count(); s++) {
      for (int r = shards.from(s); r < shards.to(s); r++) {
        float target = logits[r][targets[r]];
        losses[s] += Softmax.of(logits[r], logits[r]) - target;
        logits[r][targets[r]] -= 1;
        for (int i = 0; i < logits[r].length; i++) {
          logits[r][i] *= scale;
        }
      }
    }
    return losses;
  }
}
