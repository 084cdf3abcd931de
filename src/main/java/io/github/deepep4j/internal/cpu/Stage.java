package io.github.deepep4j.internal.cpu;

/** What a rank can wait for from another one. */
enum Stage {
  /** The peer enters the same call. */
  CALL("call"),
  /** How many rows the peer has for this rank. */
  COUNTS("counts"),
  /** Where the peer lets this rank write. */
  GRANT("grant"),
  /** The peer's rows are at their place. */
  ARRIVAL("arrival"),
  /** The peer's expert outputs may be read. */
  OUTPUT("expert output"),
  /** The peer has read this rank's expert outputs. */
  READERS("readers"),
  /** A low-latency region of the peer. */
  CREDIT("credit"),
  /** The peer's step in an unmask. */
  UNMASK("unmask");

  final String text;

  Stage(String text) {
    this.text = text;
  }
}
