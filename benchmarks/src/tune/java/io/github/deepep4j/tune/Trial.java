package io.github.deepep4j.tune;

import io.github.deepep4j.Buffer;
import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.CombineResult;
import io.github.deepep4j.DeviceMemory;
import io.github.deepep4j.DispatchHandle;
import io.github.deepep4j.DispatchOptions;
import io.github.deepep4j.DispatchResult;
import io.github.deepep4j.MeasuredTuning;
import io.github.deepep4j.TuningConfig;
import io.github.deepep4j.group.LocalGroup;
import io.github.deepep4j.group.ProcessGroup;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.atomic.AtomicReference;

/**
 * Measures one tuning with a buffer of its own: dispatches over a handle, and zero-copy combines.
 */
final class Trial {
  /** Operations before the first that counts. */
  private static final int WARM_UP = 5;

  private final TuneOptions options;
  private final AtomicReference<MeasuredTuning> seen = new AtomicReference<>();

  Trial(TuneOptions options) {
    this.options = options;
  }

  /** Runs all ranks with a tuning. */
  Times run(TuningConfig config) {
    long[][] dispatch = new long[options.numRanks()][options.rounds()];
    long[][] combine = new long[options.numRanks()][options.rounds()];
    BufferOptions buffers =
        BufferOptions.of(options.numExperts(), options.hidden(), options.numTokens())
            .maxTopk(options.numTopk())
            .tuning(config);
    LocalGroup.run(
        options.numRanks(),
        group -> {
          int rank = group.rank();
          try (Buffer buffer =
              Buffer.builder(group).options(buffers).device(options.device(rank)).build()) {
            seen.set(buffer.tuning());
            measure(group, buffer, dispatch[rank], combine[rank]);
          }
        });
    return new Times(slowest(dispatch), slowest(combine));
  }

  /** What the buffers of the last trial ran on, with its tuning. */
  MeasuredTuning seen() {
    MeasuredTuning tuning = seen.get();
    if (tuning == null) {
      throw new IllegalStateException("nothing has been tried yet");
    }
    return tuning;
  }

  private void measure(ProcessGroup group, Buffer buffer, long[] dispatch, long[] combine) {
    try (Tensor x =
            onDevice(buffer, Tensor.zeros(DType.BF16, options.numTokens(), options.hidden()));
        Tensor topkIdx = onDevice(buffer, routing(group.rank()));
        DispatchHandle handle = route(buffer, x, topkIdx)) {
      for (int round = -WARM_UP; round < options.rounds(); round++) {
        group.barrier();
        long start = System.nanoTime();
        try (DispatchResult rows = buffer.dispatch(x, handle, DispatchOptions.defaults())) {
          rows.receive();
          rows.event().synchronize();
          keep(dispatch, round, start);
        }
        Tensor y = buffer.combineInput(handle, null);
        group.barrier();
        start = System.nanoTime();
        try (CombineResult sums = buffer.combine(y, handle)) {
          sums.receive();
          sums.event().synchronize();
          keep(combine, round, start);
        }
      }
    }
  }

  private static DispatchHandle route(Buffer buffer, Tensor x, Tensor topkIdx) {
    try (DispatchResult rows = buffer.dispatch(x, topkIdx, null)) {
      return rows.handle();
    }
  }

  private static void keep(long[] nanos, int round, long start) {
    if (round >= 0) {
      nanos[round] = System.nanoTime() - start;
    }
  }

  private static Tensor onDevice(Buffer buffer, Tensor host) {
    if (buffer.device().isCpu()) {
      return host;
    }
    try (host) {
      return DeviceMemory.copyOf(host, buffer.device());
    }
  }

  /** Different experts for each token, all equally likely. */
  private Tensor routing(int rank) {
    SplittableRandom random = new SplittableRandom(rank);
    int numTopk = options.numTopk();
    int[] chosen = new int[options.numTokens() * numTopk];
    for (int i = 0; i < chosen.length; i++) {
      boolean taken;
      do {
        chosen[i] = random.nextInt(options.numExperts());
        taken = false;
        for (int before = i - i % numTopk; before < i; before++) {
          taken |= chosen[before] == chosen[i];
        }
      } while (taken);
    }
    return Tensor.copyOf(chosen, options.numTokens(), numTopk);
  }

  /** Median over the rounds of the slowest rank's time. */
  private double slowest(long[][] byRank) {
    List<Double> rounds = new ArrayList<>();
    for (int round = 0; round < options.rounds(); round++) {
      long most = 0;
      for (long[] nanos : byRank) {
        most = Math.max(most, nanos[round]);
      }
      rounds.add((double) most);
    }
    return Sweep.median(rounds);
  }
}
