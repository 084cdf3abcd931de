package io.github.deepep4j;

import io.github.deepep4j.tensor.Tensor;

/**
 * How many tokens of this rank go where, before anything is sent. Tensors on the buffer's device,
 * owned by the caller.
 *
 * @param numTokensPerRank INT32 {@code [n]}: tokens with at least one expert on the rank
 * @param numTokensPerNode INT32 {@code [nodes]}: tokens with at least one expert on the node; one
 *     node unless {@link BufferOptions#ranksPerNode(int)} was set
 * @param numTokensPerExpert INT32 {@code [numExperts]}: choices of the expert, not deduplicated
 * @param isTokenInRank UINT8 {@code [T, n]}: 1 if the token goes to the rank, else 0
 */
public record DispatchLayout(
    Tensor numTokensPerRank,
    Tensor numTokensPerNode,
    Tensor numTokensPerExpert,
    Tensor isTokenInRank)
    implements AutoCloseable {
  /** Frees the four tensors. Idempotent. */
  @Override
  public void close() {
    numTokensPerRank.close();
    numTokensPerNode.close();
    numTokensPerExpert.close();
    isTokenInRank.close();
  }
}
