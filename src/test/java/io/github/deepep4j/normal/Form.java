package io.github.deepep4j.normal;

import io.github.deepep4j.RowOrder;
import io.github.deepep4j.fixtures.Inputs;
import io.github.deepep4j.tensor.DType;
import java.util.SplittableRandom;

/**
 * Which of a normal-mode dispatch's forms is used; what is in the rows is a {@link Payload}.
 *
 * @param order order of the rows
 * @param alignment of counts or groups
 * @param zeroFill whether padding is zeroed
 * @param slack bounded form with this many rows more than arrive; −1 for the exact form
 * @param owner whose memory the result is
 * @param hook whether the call is in two halves
 * @param indexType of the routing
 * @param gateWeights whether weights travel
 */
record Form(
    RowOrder order,
    int alignment,
    boolean zeroFill,
    int slack,
    Owner owner,
    boolean hook,
    DType indexType,
    boolean gateWeights) {
  private static final int[] ALIGNMENTS = {1, 2, 8, 5, 16};

  /** Whose memory a result is. */
  enum Owner {
    BORROWED,
    INTO,
    ALLOCATOR
  }

  static Form rankMajor() {
    return new Form(RowOrder.RANK_MAJOR, 1, false, -1, Owner.BORROWED, false, DType.INT64, true);
  }

  static Form expertMajor(int alignment) {
    return new Form(
        RowOrder.EXPERT_MAJOR, alignment, false, -1, Owner.BORROWED, false, DType.INT64, true);
  }

  /** Anything that is allowed. */
  static Form draw(SplittableRandom random) {
    boolean expertMajor = random.nextBoolean();
    return new Form(
        expertMajor ? RowOrder.EXPERT_MAJOR : RowOrder.RANK_MAJOR,
        ALIGNMENTS[random.nextInt(ALIGNMENTS.length)],
        expertMajor && random.nextBoolean(),
        random.nextInt(3) == 0 ? random.nextInt(3) : -1,
        Inputs.any(random, Owner.values()),
        random.nextBoolean(),
        random.nextBoolean() ? DType.INT64 : DType.INT32,
        random.nextInt(4) > 0);
  }

  Form withAlignment(int value) {
    return new Form(order, value, zeroFill, slack, owner, hook, indexType, gateWeights);
  }

  Form withZeroFill() {
    return new Form(order, alignment, true, slack, owner, hook, indexType, gateWeights);
  }

  Form bounded(int rowsMore) {
    return new Form(order, alignment, zeroFill, rowsMore, owner, hook, indexType, gateWeights);
  }

  Form owned(Owner value) {
    return new Form(order, alignment, zeroFill, slack, value, hook, indexType, gateWeights);
  }

  Form withHook() {
    return new Form(order, alignment, zeroFill, slack, owner, true, indexType, gateWeights);
  }

  Form withIndices(DType value) {
    return new Form(order, alignment, zeroFill, slack, owner, hook, value, gateWeights);
  }

  Form withoutWeights() {
    return new Form(order, alignment, zeroFill, slack, owner, hook, indexType, false);
  }

  boolean isRankMajor() {
    return order == RowOrder.RANK_MAJOR;
  }

  boolean isBounded() {
    return slack >= 0;
  }
}
