package io.github.deepep4j;

/** The event of work that was finished before anybody could ask. */
enum CompletedEvent implements Event {
  INSTANCE;

  @Override
  public boolean isComplete() {
    return true;
  }

  @Override
  public void synchronize() {}
}
