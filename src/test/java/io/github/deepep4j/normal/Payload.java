package io.github.deepep4j.normal;

import io.github.deepep4j.DispatchOptions;
import io.github.deepep4j.Quantization;
import io.github.deepep4j.fixtures.GlobalInput;
import io.github.deepep4j.fixtures.HostTensors;
import io.github.deepep4j.fixtures.Inputs;
import io.github.deepep4j.fixtures.RankInput;
import io.github.deepep4j.reference.ReferenceCast;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;

/** All ranks' rows of one dispatch, and what each row must look like where it arrives. */
final class Payload {
  /** What is in the rows. */
  private enum Kind {
    BF16,
    FP8,
    CAST
  }

  private final Kind kind;
  final int hidden;
  final int scaleWords;
  private final DType scaleType;
  private final boolean columnMajor;
  private final @Nullable Quantization quantization;
  private final List<short[][]> bf16 = new ArrayList<>();
  private final List<byte[][]> codes = new ArrayList<>();
  private final List<int[][]> scales = new ArrayList<>();

  private Payload(
      Kind kind,
      int hidden,
      int scaleWords,
      DType scaleType,
      boolean columnMajor,
      @Nullable Quantization quantization) {
    this.kind = kind;
    this.hidden = hidden;
    this.scaleWords = scaleWords;
    this.scaleType = scaleType;
    this.columnMajor = columnMajor;
    this.quantization = quantization;
  }

  /** The input's own BF16 rows. */
  static Payload bf16(GlobalInput input) {
    Payload payload = new Payload(Kind.BF16, input.hidden(), 0, DType.FLOAT32, false, null);
    for (RankInput rank : input.ranks()) {
      payload.bf16.add(rank.x());
    }
    return payload;
  }

  /** Random bits of another width, NaN and infinities among them. */
  static Payload anyBits(GlobalInput input, int hidden, SplittableRandom random) {
    Payload payload = new Payload(Kind.BF16, hidden, 0, DType.FLOAT32, false, null);
    for (RankInput rank : input.ranks()) {
      short[][] rows = new short[rank.numTokens()][hidden];
      for (short[] row : rows) {
        for (int i = 0; i < hidden; i++) {
          row[i] = (short) random.nextInt(1 << 16);
        }
      }
      payload.bf16.add(rows);
    }
    return payload;
  }

  /** FP8 rows with S scale words, or none. */
  static Payload fp8(
      GlobalInput input, int hidden, int scaleWords, boolean columnMajor, SplittableRandom random) {
    DType scaleType = random.nextBoolean() ? DType.FLOAT32 : DType.INT32;
    Payload payload = new Payload(Kind.FP8, hidden, scaleWords, scaleType, columnMajor, null);
    for (RankInput rank : input.ranks()) {
      payload.codes.add(Inputs.byteRows(random, rank.numTokens(), hidden));
      payload.scales.add(Inputs.wordRows(random, rank.numTokens(), scaleWords));
    }
    return payload;
  }

  /** BF16 rows that are cast on their way out; some with zeros, NaN and infinities. */
  static Payload cast(
      GlobalInput input, int hidden, Quantization quantization, SplittableRandom random) {
    ReferenceCast.Kind reference = ReferenceCast.Kind.valueOf(quantization.name());
    DType scaleType = quantization == Quantization.UE8M0 ? DType.INT32 : DType.FLOAT32;
    int scaleWords = ReferenceCast.scaleWords(hidden, reference);
    Payload payload = new Payload(Kind.CAST, hidden, scaleWords, scaleType, false, quantization);
    for (RankInput rank : input.ranks()) {
      short[][] rows = Inputs.bf16Rows(random, rank.numTokens(), hidden);
      byte[][] codes = new byte[rows.length][];
      int[][] scales = new int[rows.length][];
      for (int token = 0; token < rows.length; token++) {
        spoil(rows[token], random);
        ReferenceCast.Row cast = ReferenceCast.cast(rows[token], reference);
        codes[token] = cast.codes();
        scales[token] = cast.scales();
      }
      payload.bf16.add(rows);
      payload.codes.add(codes);
      payload.scales.add(scales);
    }
    return payload;
  }

  /** Any of them, with an element count that the buffer's width allows. */
  static Payload draw(GlobalInput input, SplittableRandom random) {
    int hidden = input.hidden();
    return switch (random.nextInt(5)) {
      case 0 -> bf16(input);
      case 1 -> anyBits(input, random.nextInt(hidden / 8) * 8 + 8, random);
      case 2 -> fp8(input, hidden / 16 * 16 == hidden ? hidden : 16, 1, false, random);
      case 3 -> fp8(input, 2 * hidden, 1 + random.nextInt(7), random.nextBoolean(), random);
      default ->
          hidden % 128 == 0
              ? cast(input, hidden, Inputs.any(random, Quantization.values()), random)
              : fp8(input, 2 * hidden, 0, false, random);
    };
  }

  private static void spoil(short[] row, SplittableRandom random) {
    switch (random.nextInt(6)) {
      case 0 -> row[random.nextInt(row.length)] = (short) 0x7F80; // infinity
      case 1 -> row[random.nextInt(row.length)] = (short) 0xFFC1; // NaN
      case 2 -> java.util.Arrays.fill(row, 0, 128, (short) 0);
      default -> {}
    }
  }

  DType wireType() {
    return kind == Kind.BF16 ? DType.BF16 : DType.FP8_E4M3;
  }

  DType scaleType() {
    return scaleType;
  }

  /** The rows that a rank gives to the dispatch. */
  Tensor x(int rank, HostTensors memory) {
    return kind == Kind.FP8
        ? memory.fp8(codes.get(rank), hidden)
        : memory.bf16(bf16.get(rank), hidden);
  }

  /** Adds what the call needs for these rows. */
  DispatchOptions applyTo(DispatchOptions options, int rank, HostTensors memory) {
    if (kind == Kind.FP8 && scaleWords > 0) {
      int[][] words = scales.get(rank);
      return options.scales(
          columnMajor
              ? memory.wordsColumnMajor(words, scaleWords, scaleType)
              : memory.words(words, scaleWords, scaleType));
    }
    return quantization == null ? options : options.quantize(quantization);
  }

  /** A token's row as it must arrive. */
  byte[] wireRow(int rank, int token) {
    if (kind != Kind.BF16) {
      return codes.get(rank)[token];
    }
    ByteBuffer bytes = ByteBuffer.allocate(2 * hidden).order(ByteOrder.LITTLE_ENDIAN);
    bytes.asShortBuffer().put(bf16.get(rank)[token]);
    return bytes.array();
  }

  /** A token's scale words. */
  int[] scaleRow(int rank, int token) {
    return scales.get(rank)[token];
  }

  @Override
  public String toString() {
    return kind
        + (quantization == null ? "" : " " + quantization)
        + " H="
        + hidden
        + (scaleWords == 0
            ? ""
            : " S=" + scaleWords + " " + scaleType + (columnMajor ? " column-major" : ""));
  }
}
