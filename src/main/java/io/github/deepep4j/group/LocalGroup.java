package io.github.deepep4j.group;

/** Stand-in. */
public final class LocalGroup {
  private LocalGroup() {}
}
