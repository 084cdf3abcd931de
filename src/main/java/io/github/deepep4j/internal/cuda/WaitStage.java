package io.github.deepep4j.internal.cuda;

/** What a device can wait for from another rank: {@code ep4j_stage}, in its order. */
enum WaitStage {
  CALL("call", "dispatch"),
  COUNTS("counts", "dispatch"),
  GRANT("grant", "dispatch"),
  ARRIVAL("arrival", "dispatch"),
  OUTPUT("expert output", "combine"),
  READERS("readers", "combine"),
  INBOX("inbox", "lowLatencyDispatch"),
  LATE("late rows", "dispatch"),
  MESSAGE("rows for this node", "dispatch"),
  CREDIT("rows handed on", "dispatch"),
  SUM("sums of a node", "combine");

  private static final WaitStage[] VALUES = values();

  /** The word that messages use, the same on every backend. */
  final String text;

  /** The operation that has this stage. */
  final String operation;

  WaitStage(String text, String operation) {
    this.text = text;
    this.operation = operation;
  }

  static WaitStage of(int code) {
    return VALUES[code];
  }
}
