package io.github.deepep4j.internal.cpu;

/**
 * The arithmetic of combine. Implementations give the same bits: the scalar one is the definition,
 * the vector one is proved against it. An instance keeps scratch memory and serves one thread.
 */
public interface RowReducer {
  /** Adds BF16 rows. */
  void reduce(RowSum sum);

  /** Adds decoded rows. */
  void reduceFloats(FloatRowSum sum);

  /** What it is, for {@code Ep4j.availability()}. */
  String description();
}
