package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.internal.memory.OffHeap;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * What a routing means for its own rank: how many rows each destination gets, and the ordinal of
 * each row among them. An exclusive scan in token order, so the order is deterministic.
 *
 * <p>A routing that names an expert that does not exist, or one twice in a token, is refused: the
 * plan is then empty and carries the reason, which every rank will be told.
 */
final class RoutingPlan {
  /** An index outside −1 … numExperts − 1. */
  static final int OUT_OF_RANGE = 1;

  /** An expert twice in one token. */
  static final int TWICE = 2;

  final int numTokens;
  final int numTopk;

  /** Expert of each choice, −1 for none, {@code [T, K]}. */
  final int[] experts;

  /** Choices of each expert, {@code [numExperts]}. */
  final int[] tokensPerExpert;

  /** Tokens with a choice on each rank, {@code [n]}. */
  final int[] tokensPerRank;

  /**
   * Ordinal of each row, −1 for none: by destination {@code [T, n]}, or by choice {@code [T, K]}
   * when rows go to experts.
   */
  final int[] ordinals;

  /** Why the routing is refused; null if it is not. */
  final @Nullable Refusal refusal;

  /**
   * A routing that is refused.
   *
   * @param token the token
   * @param value the index in it
   * @param rule {@link #OUT_OF_RANGE} or {@link #TWICE}
   */
  record Refusal(int token, long value, int rule) {
    String describe(int rank, int numExperts) {
      return "rank "
          + rank
          + ", token "
          + token
          + ": expert index "
          + value
          + (rule == TWICE
              ? " appears twice in the token"
              : " is not from -1 to " + (numExperts - 1));
    }
  }

  private RoutingPlan(Tensor topkIdx, int numExperts, int numRanks, boolean perExpert) {
    numTokens = (int) topkIdx.size(0);
    numTopk = (int) topkIdx.size(1);
    experts = new int[numTokens * numTopk];
    tokensPerExpert = new int[numExperts];
    tokensPerRank = new int[numRanks];
    refusal = load(topkIdx, numExperts);
    if (refusal != null) {
      Arrays.fill(experts, -1);
    }
    ordinals = new int[numTokens * (perExpert ? numTopk : numRanks)];
    Arrays.fill(ordinals, -1);
    scan(numExperts / numRanks, numRanks, perExpert);
  }

  /** Plans rows for ranks: one per (token, destination rank). */
  static RoutingPlan perRank(Tensor topkIdx, int numExperts, int numRanks) {
    return new RoutingPlan(topkIdx, numExperts, numRanks, false);
  }

  /** Plans rows for experts: one per choice. */
  static RoutingPlan perExpert(Tensor topkIdx, int numExperts, int numRanks) {
    return new RoutingPlan(topkIdx, numExperts, numRanks, true);
  }

  private @Nullable Refusal load(Tensor topkIdx, int numExperts) {
    boolean wide = topkIdx.dtype() == DType.INT64;
    int[] lastToken = new int[numExperts];
    long address = topkIdx.address();
    for (int i = 0; i < experts.length; i++) {
      long value = wide ? OffHeap.getLong(address + 8L * i) : OffHeap.getInt(address + 4L * i);
      int token = i / numTopk;
      if (value < -1 || value >= numExperts) {
        return new Refusal(token, value, OUT_OF_RANGE);
      }
      if (value >= 0) {
        if (lastToken[(int) value] == token + 1) {
          return new Refusal(token, value, TWICE);
        }
        lastToken[(int) value] = token + 1;
      }
      experts[i] = (int) value;
    }
    return null;
  }

  private void scan(int localExperts, int numRanks, boolean perExpert) {
    int[] lastToken = new int[numRanks];
    for (int i = 0; i < experts.length; i++) {
      int expert = experts[i];
      if (expert < 0) {
        continue;
      }
      int token = i / numTopk;
      int rank = expert / localExperts;
      if (perExpert) {
        ordinals[i] = tokensPerExpert[expert];
      }
      tokensPerExpert[expert]++;
      if (lastToken[rank] != token + 1) {
        lastToken[rank] = token + 1;
        if (!perExpert) {
          ordinals[token * numRanks + rank] = tokensPerRank[rank];
        }
        tokensPerRank[rank]++;
      }
    }
  }
}
