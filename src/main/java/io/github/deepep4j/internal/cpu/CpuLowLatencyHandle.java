package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.RowOrder;
import io.github.deepep4j.internal.backend.BackendHandle;
import java.util.Arrays;

/**
 * The routing record of a low-latency dispatch: this rank's choices and their ordinals, and what it
 * received. It ends with its result.
 */
final class CpuLowLatencyHandle implements BackendHandle, CpuHandleId {
  private final RegionPool.Lease lease;
  private final long id;
  final RoutingPlan plan;
  private final int hidden;

  /** First packed row of each source for each local expert; known once received. */
  final int[][] begins;

  /** Packed rows of each local expert; known once received. */
  final int[] counts;

  CpuLowLatencyHandle(
      RegionPool.Lease lease, long id, RoutingPlan plan, int hidden, int[][] begins, int[] counts) {
    this.lease = lease;
    this.id = id;
    this.plan = plan;
    this.hidden = hidden;
    this.begins = begins;
    this.counts = counts;
  }

  /** Forgets the choices, because the call was refused and nothing came of them anywhere. */
  void drop() {
    Arrays.fill(plan.experts, -1);
  }

  @Override
  public long id() {
    return id;
  }

  @Override
  public int numTokens() {
    return plan.numTokens;
  }

  @Override
  public int hidden() {
    return hidden;
  }

  @Override
  public int numTopk() {
    return plan.numTopk;
  }

  @Override
  public RowOrder rowOrder() {
    return RowOrder.EXPERT_MAJOR;
  }

  @Override
  public int resultRows() {
    int rows = 0;
    for (int count : counts) {
      rows += count;
    }
    return rows;
  }

  @Override
  public boolean isBounded() {
    return true;
  }

  @Override
  public boolean hasWeights() {
    return false;
  }

  @Override
  public String describe() {
    return lease.holder;
  }

  @Override
  public boolean isClosed() {
    return !lease.isOpen();
  }

  @Override
  public void close() {
    // The record lives in Java memory and ends with its result's lease.
  }
}
