package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.Quantization;
import io.github.deepep4j.RowOrder;
import io.github.deepep4j.internal.memory.OffHeap;
import io.github.deepep4j.tensor.DType;
import org.jspecify.annotations.Nullable;

/**
 * What must agree between the ranks of one call. Every rank announces it to its peers when it
 * enters a call; equal words mean that the ranks are in the same call, different ones are reported
 * in words on every rank.
 *
 * @param operation which operation
 * @param order order of normal-mode rows
 * @param bounded whether a dispatch is bounded
 * @param dtype element type of the rows on the wire
 * @param quantization cast on the way out, or null
 * @param rowBytes bytes of one row on the wire
 * @param scaleWords 4-byte scale words per row
 * @param numTopk K
 * @param indexType dtype of the routing, or null where there is none
 * @param weights whether gate weights travel
 * @param variant {@code weighted()} or LogFMT-10
 * @param alignment of expert-major groups, else 1
 * @param handle epoch of the dispatch whose routing is used, 0 for none
 */
@SuppressWarnings("EnumOrdinal") // words between ranks, which all run this same version
record CallDescriptor(
    Operation operation,
    RowOrder order,
    boolean bounded,
    DType dtype,
    @Nullable Quantization quantization,
    int rowBytes,
    int scaleWords,
    int numTopk,
    @Nullable DType indexType,
    boolean weights,
    boolean variant,
    int alignment,
    long handle) {

  /** The collective operations. */
  enum Operation {
    DISPATCH("dispatch"),
    CACHED_DISPATCH("cached dispatch"),
    COMBINE("combine"),
    LOW_LATENCY_DISPATCH("lowLatencyDispatch"),
    LOW_LATENCY_COMBINE("lowLatencyCombine");

    final String text;

    Operation(String text) {
      this.text = text;
    }
  }

  /** 8-byte words of a descriptor. */
  static final int WORDS = 4;

  /** Stores the words at an address. */
  void write(long address) {
    OffHeap.putLong(address, head());
    OffHeap.putLong(address + 8, pair(rowBytes, scaleWords));
    OffHeap.putLong(address + 16, pair(numTopk, alignment));
    OffHeap.putLong(address + 24, handle);
  }

  /** Whether the words at an address are this descriptor's. */
  boolean isAt(long address) {
    return OffHeap.getLong(address) == head()
        && OffHeap.getLong(address + 8) == pair(rowBytes, scaleWords)
        && OffHeap.getLong(address + 16) == pair(numTopk, alignment)
        && OffHeap.getLong(address + 24) == handle;
  }

  /** Loads the words from an address. */
  static CallDescriptor read(long address) {
    long head = OffHeap.getLong(address);
    long sizes = OffHeap.getLong(address + 8);
    long shape = OffHeap.getLong(address + 16);
    return new CallDescriptor(
        Operation.values()[field(head, 0)],
        RowOrder.values()[field(head, 1)],
        field(head, 2) != 0,
        DType.values()[field(head, 3)],
        orNull(Quantization.values(), field(head, 4)),
        (int) (sizes >>> 32),
        (int) sizes,
        (int) (shape >>> 32),
        orNull(DType.values(), field(head, 5)),
        field(head, 6) != 0,
        field(head, 7) != 0,
        (int) shape,
        OffHeap.getLong(address + 24));
  }

  @Override
  public String toString() {
    StringBuilder text = new StringBuilder(operation.text).append('(');
    text.append(bounded ? "bounded, " : "");
    switch (operation) {
      case DISPATCH, CACHED_DISPATCH, COMBINE ->
          text.append(order == RowOrder.RANK_MAJOR ? "rank-major" : "expert-major");
      default -> text.append("low-latency");
    }
    text.append(", ").append(dtype).append(" rows of ").append(rowBytes).append(" bytes");
    if (quantization != null) {
      text.append(" cast ").append(quantization);
    }
    if (scaleWords > 0) {
      text.append(", ").append(scaleWords).append(" scale words");
    }
    if (indexType != null) {
      text.append(", K=").append(numTopk).append(' ').append(indexType);
    }
    text.append(weights ? ", with weights" : "");
    if (variant) {
      text.append(operation == Operation.COMBINE ? ", weighted" : ", LogFMT-10");
    }
    if (alignment > 1) {
      text.append(", alignment ").append(alignment);
    }
    if (handle > 0) {
      text.append(", handle of call ").append(handle);
    }
    return text.append(')').toString();
  }

  private long head() {
    long head = 0;
    int[] fields = {
      operation.ordinal(),
      order.ordinal(),
      bounded ? 1 : 0,
      dtype.ordinal(),
      quantization == null ? 0xFF : quantization.ordinal(),
      indexType == null ? 0xFF : indexType.ordinal(),
      weights ? 1 : 0,
      variant ? 1 : 0
    };
    for (int i = 0; i < fields.length; i++) {
      head |= (long) fields[i] << (8 * i);
    }
    return head;
  }

  private static int field(long head, int index) {
    return (int) (head >>> (8 * index)) & 0xFF;
  }

  private static long pair(int high, int low) {
    return (long) high << 32 | (low & 0xFFFFFFFFL);
  }

  private static <T> @Nullable T orNull(T[] values, int index) {
    return index == 0xFF ? null : values[index];
  }
}
