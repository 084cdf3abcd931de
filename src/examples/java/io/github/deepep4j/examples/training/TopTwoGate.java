package io.github.deepep4j.examples.training;

import java.util.Arrays;

/**
 * Chooses two experts for each token: those with the largest logits, weighted by the softmax over
 * these two. The gradient reaches the gate in two ways: through the weights, and through an
 * auxiliary loss that evens out the experts' load: per shard, {@code numExperts · Σ_e f_e · P_e} of
 * the share f of choices and the mean probability P.
 */
final class TopTwoGate {
  private final Parameter weight; // [hidden][experts]
  private final Shards shards;
  private final float balance; // weight of the auxiliary loss
  private final int numExperts;

  TopTwoGate(Parameter weight, Shards shards, float balance) {
    this.weight = weight;
    this.shards = shards;
    this.balance = balance;
    this.numExperts = weight.value()[0].length;
  }

  /** Any number of rows. */
  Routing forward(float[][] x) {
    float[][] logits = new float[x.length][numExperts];
    RowMath.multiply(x, weight.value(), logits, 0, x.length);
    Routing routing =
        new Routing(
            new int[x.length * Routing.TOPK],
            new float[x.length * Routing.TOPK],
            new float[x.length][numExperts]);
    for (int r = 0; r < x.length; r++) {
      Softmax.of(logits[r], routing.probabilities()[r]);
      choose(logits[r], routing, r);
    }
    return routing;
  }

  private static void choose(float[] logits, Routing routing, int token) {
    int first = largest(logits, -1);
    int second = largest(logits, first);
    float weight = (float) (1 / (1 + StrictMath.exp(logits[second] - logits[first])));
    routing.experts()[Routing.TOPK * token] = first;
    routing.experts()[Routing.TOPK * token + 1] = second;
    routing.weights()[Routing.TOPK * token] = weight;
    routing.weights()[Routing.TOPK * token + 1] = 1 - weight;
  }

  private static int largest(float[] logits, int except) {
    int best = except == 0 ? 1 : 0;
    for (int e = best + 1; e < logits.length; e++) {
      if (e != except && logits[e] > logits[best]) {
        best = e;
      }
    }
    return best;
  }

  /** Adds to dx and to the weight's parts; dWeights is {@code [tokens, 2]}, as the weights are. */
  void addBackward(float[][] x, Routing routing, float[] dWeights, float[][] dx) {
    float[][] dLogits = new float[x.length][numExperts];
    float[][] transposed = RowMath.transpose(weight.value());
    for (int s = 0; s < shards.count(); s++) {
      float[] share = share(routing, shards.from(s), shards.to(s));
      for (int r = shards.from(s); r < shards.to(s); r++) {
        addBalance(share, routing.probabilities()[r], dLogits[r]);
        addChoice(routing, dWeights, r, dLogits[r]);
        RowMath.addProduct(dLogits[r], transposed, dx[r]);
      }
      RowMath.addOuter(x, dLogits, weight.part(s), shards.from(s), shards.to(s));
    }
  }

  /** Gradient of the softmax over the two chosen logits. */
  private static void addChoice(Routing routing, float[] dWeights, int token, float[] dLogits) {
    int slot = Routing.TOPK * token;
    float w0 = routing.weights()[slot];
    float w1 = routing.weights()[slot + 1];
    float d = w0 * w1 * (dWeights[slot] - dWeights[slot + 1]);
    dLogits[routing.experts()[slot]] += d;
    dLogits[routing.experts()[slot + 1]] -= d;
  }

  /** Gradient of the auxiliary loss, in which the shares count as constants. */
  private void addBalance(float[] share, float[] probabilities, float[] dLogits) {
    float scale = balance * numExperts / shards.tokensOfAllRanks();
    float mean = RowMath.dot(share, probabilities);
    for (int e = 0; e < numExperts; e++) {
      dLogits[e] += scale * probabilities[e] * (share[e] - mean);
    }
  }

  /** Each expert's share of the choices of one shard's tokens. */
  private float[] share(Routing routing, int from, int to) {
    int[] counts = new int[numExperts];
    Arrays.stream(routing.experts(), Routing.TOPK * from, Routing.TOPK * to)
        .forEach(expert -> counts[expert]++);
    float[] share = new float[numExperts];
    for (int e = 0; e < numExperts; e++) {
      share[e] = counts[e] / (float) (Routing.TOPK * (to - from));
    }
    return share;
  }
}
