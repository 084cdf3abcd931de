package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.LowLatencyCombineOptions;
import io.github.deepep4j.RowOrder;
import io.github.deepep4j.internal.backend.Requests;
import io.github.deepep4j.internal.memory.OffHeap;
import io.github.deepep4j.internal.numeric.LogFmt10;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Low-latency combine. Each rank publishes its packed expert outputs and where every source's rows
 * begin among them; the token's rank pulls its K rows and sums them by fused multiply-add. With
 * LogFMT-10 the outputs are encoded in place before they are published.
 */
final class LowLatencyCombiner {
  private final RankContext context;
  private final OutputRegions outputs;

  LowLatencyCombiner(RankContext context, OutputRegions outputs) {
    this.context = context;
    this.outputs = outputs;
  }

  /** Memory for a combine's rows. */
  Tensor input(CpuLowLatencyHandle handle) {
    // Ranges have a place in every region of this mode, so both wire formats read the same layout.
    OutputLayout layout = context.windowLayout.lowLatencyOutput(true);
    return outputs.handOut(
        handle,
        layout,
        context.localExperts,
        (long) context.numRanks * context.options.maxTokensPerRank(),
        context.options.hidden());
  }

  /** The sending half, and the rest too unless the call has a hook. */
  PendingCombine combine(Requests.LowLatencyCombine request) {
    CpuLowLatencyHandle handle = (CpuLowLatencyHandle) request.handle();
    LowLatencyCombineOptions options = request.options();
    OutputLayout layout = context.windowLayout.lowLatencyOutput(true);
    String name = context.nextName("lowLatencyCombine");
    RegionPool.Lease lease = outputs.reclaim(request.y(), handle.id());
    if (lease == null) {
      outputs.requireFree(name);
    }
    outputs.receiveOverdue();
    context.startWaits("lowLatencyCombine", options);
    if (lease == null) {
      lease = outputs.take(name, layout.bytes());
    }
    long region = context.peers.own(lease.offset);
    stage(request, handle, layout, region);
    for (int source = 0; source < context.numRanks; source++) {
      int[] begins = handle.begins[source];
      OffHeap.copyFromArray(
          begins, 0, region + layout.begins() + 4L * source * begins.length, begins.length);
    }
    CallDescriptor call = describe(handle, options);
    float[] weights = request.topkWeights().toFloats();
    outputs.publish(lease, context.enter(call, options), layout);
    PendingCombine pending =
        new PendingCombine(
            context,
            new PendingCombine.Call(call, options, outputs, lease, context.traffic.lowLatency),
            new PendingCombine.Shape(
                handle.numTokens(), context.options.hidden(), 0, options.into()),
            (ready, combined, combinedWeights) ->
                new Pull(handle, weights, ready, options.isLogFmt()).run(combined));
    outputs.track(pending);
    if (!options.isHook()) {
      NormalCombiner.receiveOrClose(pending);
    }
    return pending;
  }

  /** Brings each expert's rows into the region, encoded if asked for. */
  private void stage(
      Requests.LowLatencyCombine request,
      CpuLowLatencyHandle handle,
      OutputLayout layout,
      long region) {
    long rowsPerExpert = (long) context.numRanks * context.options.maxTokensPerRank();
    long y = request.y().address();
    long x = region + layout.x();
    Encoder encoder = request.options().isLogFmt() ? new Encoder(layout) : null;
    for (int expert = 0; expert < context.localExperts; expert++) {
      long first = expert * rowsPerExpert;
      int count = handle.counts[expert];
      if (encoder != null) {
        for (long row = first; row < first + count; row++) {
          encoder.encode(
              y + row * layout.rowBytes(),
              x + row * layout.rowBytes(),
              region + layout.ranges() + row * layout.rangeBytes());
        }
      } else if (x != y) {
        OffHeap.copy(
            y + first * layout.rowBytes(),
            x + first * layout.rowBytes(),
            count * layout.rowBytes());
      }
    }
  }

  private CallDescriptor describe(CpuLowLatencyHandle handle, LowLatencyCombineOptions options) {
    return new CallDescriptor(
        CallDescriptor.Operation.LOW_LATENCY_COMBINE,
        RowOrder.EXPERT_MAJOR,
        false,
        DType.BF16,
        null,
        2 * context.options.hidden(),
        0,
        handle.numTopk(),
        null,
        true,
        options.isLogFmt(),
        1,
        handle.id());
  }

  /** Scratch for LogFMT-10. */
  private static final class Encoder {
    private final int hidden;
    private final short[] row;
    private final short[] ranges;
    private final byte[] payload;

    Encoder(OutputLayout layout) {
      hidden = layout.hidden();
      row = new short[hidden];
      ranges = new short[hidden / LogFmt10.GROUP_CHANNELS * 2];
      payload = new byte[2 * hidden];
    }

    void encode(long from, long to, long rangesTo) {
      OffHeap.copyToArray(from, row, 0, hidden);
      LogFmt10.encodeRow(row, hidden, ranges, payload);
      OffHeap.copyFromArray(ranges, 0, rangesTo, ranges.length);
      int chunkChannels = LogFmt10.chunkChannels(hidden);
      for (int chunk = 0; chunk < hidden / chunkChannels; chunk++) {
        int offset = 2 * chunk * chunkChannels;
        OffHeap.copyFromArray(
            payload, offset, to + offset, LogFmt10.chunkBytes(ranges, chunk, chunkChannels));
      }
    }

    void decode(long from, long rangesFrom, float[] out) {
      OffHeap.copyToArray(rangesFrom, ranges, 0, ranges.length);
      int chunkChannels = LogFmt10.chunkChannels(hidden);
      for (int chunk = 0; chunk < hidden / chunkChannels; chunk++) {
        int offset = 2 * chunk * chunkChannels;
        OffHeap.copyToArray(
            from + offset, payload, offset, LogFmt10.chunkBytes(ranges, chunk, chunkChannels));
      }
      LogFmt10.decodeRow(ranges, payload, hidden, out);
    }
  }

  /** One combine's summation. */
  private final class Pull {
    private final CpuLowLatencyHandle handle;
    private final float[] weights;
    private final Messages.@Nullable Ready[] ready;
    private final boolean logFmt;
    private final OutputLayout layout = context.windowLayout.lowLatencyOutput(true);
    private final int[][] begins = new int[context.numRanks][context.localExperts];
    private final float[] weightOfRow;
    private final long[] rangesOfRow;
    private final RowSum sum;

    Pull(
        CpuLowLatencyHandle handle,
        float[] weights,
        Messages.@Nullable Ready[] ready,
        boolean logFmt) {
      this.handle = handle;
      this.weights = weights;
      this.ready = ready;
      this.logFmt = logFmt;
      this.weightOfRow = new float[handle.numTopk()];
      this.rangesOfRow = new long[handle.numTopk()];
      this.sum = new RowSum(layout.hidden(), handle.numTopk());
      this.sum.weights = weightOfRow;
      for (int peer = 0; peer < ready.length; peer++) {
        Messages.Ready from = ready[peer];
        if (from != null) {
          long table = from.begins() + 4L * context.rank * context.localExperts;
          OffHeap.copyToArray(context.peers.at(peer, table), begins[peer], 0, context.localExperts);
        }
      }
    }

    void run(Tensor combined) {
      FloatRowSum decoded = logFmt ? new FloatRowSum(layout.hidden(), weightOfRow) : null;
      Encoder decoder = logFmt ? new Encoder(layout) : null;
      float[] row = new float[logFmt ? layout.hidden() : 0];
      for (int token = 0; token < handle.numTokens(); token++) {
        gather(token);
        long out = combined.address() + layout.rowBytes() * token;
        if (decoded == null || decoder == null) {
          sum.out = out;
          context.reducer.reduce(sum);
          continue;
        }
        for (int i = 0; i < sum.count; i++) {
          decoder.decode(sum.rowAddresses[i], rangesOfRow[i], row);
          System.arraycopy(row, 0, decoded.rows, i * decoded.columns, row.length);
        }
        decoded.count = sum.count;
        decoded.out = out;
        context.reducer.reduceFloats(decoded);
      }
    }

    private void gather(int token) {
      long rowsPerExpert = (long) context.numRanks * context.options.maxTokensPerRank();
      sum.count = 0;
      for (int k = 0; k < handle.numTopk(); k++) {
        int choice = token * handle.numTopk() + k;
        int expert = handle.plan.experts[choice];
        if (expert < 0) {
          continue;
        }
        int peer = expert / context.localExperts;
        Messages.Ready from = ready[peer];
        if (from == null) {
          continue;
        }
        int local = expert % context.localExperts;
        long row = local * rowsPerExpert + begins[peer][local] + handle.plan.ordinals[choice];
        weightOfRow[sum.count] = weights[choice];
        rangesOfRow[sum.count] = context.peers.at(peer, from.ranges() + row * layout.rangeBytes());
        sum.rowAddresses[sum.count++] = context.peers.at(peer, from.x() + row * layout.rowBytes());
        context.traffic.lowLatency.combined(peer);
      }
    }
  }
}
