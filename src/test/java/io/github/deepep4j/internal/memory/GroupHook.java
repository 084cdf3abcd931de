package io.github.deepep4j.internal.memory;

import io.github.deepep4j.group.ProcessGroup;

/** A group that lets a test look at, change or break the exchanges of one rank. */
final class GroupHook implements ProcessGroup {
  /** Sees every message before it goes out. */
  @FunctionalInterface
  interface Hook {
    /**
     * Called before an exchange.
     *
     * @param exchange its number, from 0
     * @param message what the rank sends
     * @return what to send instead
     * @throws Exception to break off
     */
    byte[] before(int exchange, byte[] message) throws Exception;
  }

  private final ProcessGroup group;
  private final Hook hook;
  private int exchange;

  GroupHook(ProcessGroup group, Hook hook) {
    this.group = group;
    this.hook = hook;
  }

  @Override
  public int rank() {
    return group.rank();
  }

  @Override
  public int size() {
    return group.size();
  }

  @Override
  public byte[][] allGather(byte[] bytes) {
    byte[] changed;
    try {
      changed = hook.before(exchange++, bytes);
    } catch (Exception e) {
      group.abort(String.valueOf(e.getMessage()));
      throw new IllegalStateException(e);
    }
    return group.allGather(changed);
  }

  @Override
  public void abort(String reason) {
    group.abort(reason);
  }

  @Override
  public void close() {
    group.close();
  }
}
