package io.github.deepep4j.reference;

/**
 * Where a received row comes from.
 *
 * @param sourceRank its rank; −1 for padding
 * @param sourceToken its token there; −1 for padding
 * @param topkSlot expert-major: which of the token's choices it is; −1 for padding and in
 *     rank-major order
 */
public record RowOrigin(int sourceRank, int sourceToken, int topkSlot) {
  /** A row that no token fills. */
  public static final RowOrigin PADDING = new RowOrigin(-1, -1, -1);

  /** Whether it is padding. */
  public boolean isPadding() {
    return sourceRank < 0;
  }
}
