package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.CombineOptions;
import io.github.deepep4j.internal.backend.Requests;
import io.github.deepep4j.internal.memory.OffHeap;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Normal-mode combine. Each rank publishes its expert outputs and pulls, for each of its tokens,
 * the rows that its dispatch sent out: rank-major in destination order, expert-major in top-k
 * order. Where there are several nodes, {@link NodeSum} rounds each node's part first.
 */
final class NormalCombiner {
  private final RankContext context;
  private final OutputRegions outputs;

  NormalCombiner(RankContext context, OutputRegions outputs) {
    this.context = context;
    this.outputs = outputs;
  }

  /** Memory for a combine's rows. */
  Tensor input(CpuHandle handle) {
    OutputLayout layout = layout(handle, handle.hidden, weightsPerRow(handle));
    return outputs.handOut(handle, layout, handle.resultRows, handle.hidden);
  }

  /** The sending half, and the rest too unless the call has a hook. */
  PendingCombine combine(Requests.Combine request) {
    CpuHandle handle = (CpuHandle) request.handle();
    CombineOptions options = request.options();
    Tensor y = request.y();
    int hidden = (int) y.size(1);
    Tensor weights = options.topkWeights();
    // A region that was handed out has room for weights, whether or not the call has any.
    RegionPool.Lease handedOut = outputs.reclaim(y, handle.id);
    String name = context.nextName("combine");
    if (handedOut == null) {
      outputs.requireFree(name);
    }
    outputs.receiveOverdue();
    context.startWaits("combine", options);
    OutputLayout layout =
        layout(handle, hidden, handedOut != null || weights != null ? weightsPerRow(handle) : 0);
    RegionPool.Lease lease = handedOut;
    if (lease == null) {
      lease = outputs.take(name, layout.bytes());
      OffHeap.copy(y.address(), context.peers.own(lease.offset + layout.x()), y.byteSize());
    }
    if (weights != null) {
      OffHeap.copy(
          weights.address(),
          context.peers.own(lease.offset + layout.weights()),
          weights.byteSize());
    }
    CallDescriptor call = describe(handle, options, hidden);
    outputs.publish(lease, context.enter(call, options), layout);
    PendingCombine pending =
        new PendingCombine(
            context,
            new PendingCombine.Call(call, options, outputs, lease, context.traffic.normal),
            new PendingCombine.Shape(
                handle.numTokens, hidden, weights == null ? 0 : handle.numTopk(), options.into()),
            (ready, combined, combinedWeights) ->
                new Pull(handle, options, hidden, ready).run(combined, combinedWeights));
    outputs.track(pending);
    if (!options.isHook()) {
      receiveOrClose(pending);
    }
    return pending;
  }

  /** Receives; if that fails nobody will ever close the result. */
  static void receiveOrClose(PendingCombine pending) {
    boolean done = false;
    try {
      pending.receive();
      done = true;
    } finally {
      if (!done) {
        pending.discard();
      }
    }
  }

  private static int weightsPerRow(CpuHandle handle) {
    return handle.rankMajor() ? handle.numTopk() : 1;
  }

  private static OutputLayout layout(CpuHandle handle, int hidden, int weightsPerRow) {
    return new OutputLayout(handle.resultRows, hidden, false, weightsPerRow, 0);
  }

  private static CallDescriptor describe(CpuHandle handle, CombineOptions options, int hidden) {
    return new CallDescriptor(
        CallDescriptor.Operation.COMBINE,
        handle.rowOrder(),
        handle.bounded,
        DType.BF16,
        null,
        2 * hidden,
        0,
        handle.numTopk(),
        null,
        options.topkWeights() != null,
        options.isWeighted(),
        1,
        handle.id);
  }

  /** One combine's summation. */
  private final class Pull {
    private final CpuHandle handle;
    private final CombineOptions options;
    private final Messages.@Nullable Ready[] ready;
    private final long rowBytes;
    private final RowSum sum;
    private final int perToken;
    private final float[] weightOfRow;
    private final int[] peerOfRow;
    private final long[] weightAddresses;
    private final @Nullable NodeSum nodeSum;

    Pull(CpuHandle handle, CombineOptions options, int hidden, Messages.@Nullable Ready[] ready) {
      this.handle = handle;
      this.options = options;
      this.ready = ready;
      this.rowBytes = 2L * hidden;
      this.perToken = handle.rankMajor() ? context.numRanks : handle.numTopk();
      this.sum = new RowSum(hidden, perToken);
      this.weightOfRow = new float[perToken];
      this.peerOfRow = new int[perToken];
      this.weightAddresses = new long[perToken];
      this.sum.weights = options.isWeighted() ? weightOfRow : null;
      this.nodeSum =
          context.topology.numNodes() > 1 ? new NodeSum(context, hidden, perToken) : null;
    }

    void run(Tensor combined, @Nullable Tensor combinedWeights) {
      try {
        sumTokens(combined, combinedWeights);
      } finally {
        if (nodeSum != null) {
          nodeSum.close();
        }
      }
    }

    private void sumTokens(Tensor combined, @Nullable Tensor combinedWeights) {
      long out = combined.address();
      Tensor bias0 = options.bias0();
      Tensor bias1 = options.bias1();
      for (int token = 0; token < handle.numTokens; token++) {
        gather(token);
        sum.bias0 = bias0 == null ? 0 : bias0.address() + rowBytes * token;
        sum.bias1 = bias1 == null ? 0 : bias1.address() + rowBytes * token;
        sum.out = out + rowBytes * token;
        if (nodeSum == null) {
          context.reducer.reduce(sum);
        } else {
          nodeSum.reduce(sum, peerOfRow);
        }
        if (combinedWeights != null) {
          sumWeights(combinedWeights.address() + 4L * handle.numTopk() * token);
        }
      }
    }

    /** Addresses of a token's rows, in the order of the sum; weights at the row's slot. */
    private void gather(int token) {
      float[] gate = options.isWeighted() ? handle.weights : null;
      sum.count = 0;
      for (int slot = 0; slot < perToken; slot++) {
        weightAddresses[slot] = 0;
        int index = token * perToken + slot;
        int row = handle.rows[index];
        if (row < 0) {
          continue;
        }
        int peer = handle.rankMajor() ? slot : handle.experts[index] / context.localExperts;
        Messages.Ready from = ready[peer];
        // The sums of another node come back by way of the proxy there.
        if (from == null || ready[context.topology.proxy(context.rank, peer)] == null) {
          continue;
        }
        int weightsPerRow = weightsPerRow(handle);
        weightAddresses[slot] = context.peers.at(peer, from.weights() + 4L * weightsPerRow * row);
        if (gate != null) {
          weightOfRow[sum.count] = gate[index];
        }
        peerOfRow[sum.count] = peer;
        sum.rowAddresses[sum.count++] = context.peers.at(peer, from.x() + rowBytes * row);
        context.traffic.normal.combined(peer);
      }
    }

    /**
     * Rank-major: the sum of the rows' weight vectors, like the rows node by node, but never
     * rounded below float32. Expert-major: each slot's own weight.
     */
    private void sumWeights(long out) {
      int numTopk = handle.numTopk();
      for (int k = 0; k < numTopk; k++) {
        float value = 0f;
        if (handle.rankMajor()) {
          for (int first = 0; first < perToken; first += context.topology.ranksPerNode()) {
            value += sumOfNode(first, 4L * k);
          }
        } else if (weightAddresses[k] != 0) {
          value = OffHeap.getFloat(weightAddresses[k]);
        }
        OffHeap.putFloat(out + 4L * k, value);
      }
    }

    private float sumOfNode(int firstRank, long offset) {
      float value = 0f;
      for (int i = 0; i < context.topology.ranksPerNode(); i++) {
        long address = weightAddresses[firstRank + i];
        value += address == 0 ? 0f : OffHeap.getFloat(address + offset);
      }
      return value;
    }
  }
}
