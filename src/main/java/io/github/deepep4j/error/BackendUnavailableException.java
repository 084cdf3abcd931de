package io.github.deepep4j.error;

import java.util.List;

/** A backend that was asked for explicitly does not work on this machine. */
public final class BackendUnavailableException extends EpException {
  private static final long serialVersionUID = 1L;

  /** Places tried, one line each; an array because a serializable class needs such a field. */
  private final String[] tried;

  /**
   * Makes an exception.
   *
   * @param backend the backend's name
   * @param tried every place looked in and what was found there
   * @param remedy what the user can do
   */
  public BackendUnavailableException(String backend, List<String> tried, String remedy) {
    super(
        Code.BACKEND_UNAVAILABLE,
        -1,
        "selecting backend " + backend,
        "tried: " + String.join("; ", tried) + ". " + remedy);
    this.tried = tried.toArray(new String[0]);
  }

  /**
   * Every place looked in, in order, with what was found there.
   *
   * @return the places
   */
  public List<String> tried() {
    return List.of(tried);
  }
}
