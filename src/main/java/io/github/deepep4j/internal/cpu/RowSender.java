package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.Quantization;
import io.github.deepep4j.internal.memory.OffHeap;
import io.github.deepep4j.internal.numeric.Fp8Cast;
import io.github.deepep4j.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Puts one token's row and scales at any number of places: copied from the caller's tensors, or
 * cast to FP8 once and stored from scratch. Not thread-safe.
 */
final class RowSender {
  private final long x;
  private final int rowBytes;
  private final int scaleWords;
  private final @Nullable Tensor scales;
  private final int hidden;
  private final Fp8Cast.@Nullable Scaling scaling;
  private final CastRow cast;

  /**
   * Prepares to send.
   *
   * @param x the caller's rows
   * @param quantization cast on the way out, or null
   * @param scales scales that travel with FP8 rows, or null
   * @param cast the rank's scratch for rows that are cast
   */
  RowSender(Tensor x, @Nullable Quantization quantization, @Nullable Tensor scales, CastRow cast) {
    this.x = x.address();
    this.hidden = (int) x.size(1);
    this.scaling = quantization == null ? null : scaling(quantization);
    this.cast = cast;
    this.scales = scales;
    this.rowBytes = wireRowBytes(x, quantization);
    this.scaleWords = wireScaleWords(x, quantization, scales);
  }

  static int wireRowBytes(Tensor x, @Nullable Quantization quantization) {
    return (int) x.size(1) * (quantization == null ? x.dtype().bytes() : 1);
  }

  static int wireScaleWords(
      Tensor x, @Nullable Quantization quantization, @Nullable Tensor scales) {
    if (quantization != null) {
      return Fp8Cast.scaleWords((int) x.size(1), scaling(quantization));
    }
    return scales == null ? 0 : (int) scales.size(1);
  }

  static Fp8Cast.Scaling scaling(Quantization quantization) {
    return switch (quantization) {
      case PLAIN -> Fp8Cast.Scaling.PLAIN;
      case ROUNDED -> Fp8Cast.Scaling.ROUNDED;
      case UE8M0 -> Fp8Cast.Scaling.UE8M0;
    };
  }

  /** Bytes of a row with its scales. */
  long payloadBytes() {
    return rowBytes + 4L * scaleWords;
  }

  /** Makes a token the one that {@link #put} stores. */
  void load(int token) {
    if (scaling != null) {
      cast.load(x + 2L * hidden * token, hidden, scaling);
    }
  }

  /**
   * Stores the loaded token's row and scales.
   *
   * @param token the loaded token
   * @param row address of its row
   * @param scaleRow address of its scales
   */
  void put(int token, long row, long scaleRow) {
    if (scaling != null) {
      cast.store(row, scaleRow);
      return;
    }
    OffHeap.copy(x + (long) rowBytes * token, row, rowBytes);
    if (scales != null) {
      long from = scales.address() + 4L * scales.stride(0) * token;
      if (scales.stride(1) == 1) {
        OffHeap.copy(from, scaleRow, 4L * scaleWords);
      } else {
        for (int word = 0; word < scaleWords; word++) {
          OffHeap.putInt(scaleRow + 4L * word, OffHeap.getInt(from + 4L * scales.stride(1) * word));
        }
      }
    }
  }
}
