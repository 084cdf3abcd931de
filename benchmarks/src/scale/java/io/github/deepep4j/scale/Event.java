package io.github.deepep4j.scale;

/**
 * Something that happens to a chunk at a rank.
 *
 * @param time when, in nanoseconds
 * @param order breaks ties, so that a run is always the same
 * @param kind what
 * @param rank where
 * @param chunk of what; {@link Chunk#NONE} if it is of the rank alone
 */
record Event(double time, long order, Kind kind, int rank, Chunk chunk)
    implements Comparable<Event> {
  /** What happens; {@link Simulation} draws the way of a chunk. */
  enum Kind {
    /** The sender's card is given a prepared chunk. */
    SEND,
    /** The card has taken up the oldest prepared chunk: there is room for another. */
    ROOM,
    /** The first byte is at the receiver. */
    RECEIVE,
    /** All of it is in staging memory. */
    FINISH,
    /** Its staging memory is free again. */
    RELEASE,
    /** The sender knows that. */
    CREDIT,
    /** A chunk of the own node is done: the next one may begin. */
    LOCAL
  }

  @Override
  public int compareTo(Event other) {
    int byTime = Double.compare(time, other.time);
    return byTime != 0 ? byTime : Long.compare(order, other.order);
  }
}
