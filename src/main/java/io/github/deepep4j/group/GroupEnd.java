package io.github.deepep4j.group;

import io.github.deepep4j.error.EpException;
import io.github.deepep4j.error.EpTimeoutException;

/**
 * Why a group has ended. Every rank is told the same, so that all of them name one culprit.
 *
 * @param code what kind of end
 * @param origin the rank that found it
 * @param culprit the rank that caused it
 * @param reason what happened
 */
record GroupEnd(EpException.Code code, int origin, int culprit, String reason) {

  static GroupEnd aborted(int rank, String reason) {
    return new GroupEnd(
        EpException.Code.ABORTED, rank, rank, "rank " + rank + " aborted the group: " + reason);
  }

  static GroupEnd left(int rank) {
    return new GroupEnd(
        EpException.Code.ABORTED, rank, rank, "rank " + rank + " has left the group");
  }

  static GroupEnd interrupted(int rank) {
    return new GroupEnd(
        EpException.Code.ABORTED, rank, rank, "rank " + rank + " was interrupted in an exchange");
  }

  static GroupEnd timedOut(int origin, int culprit, String detail) {
    return new GroupEnd(EpException.Code.TIMEOUT, origin, culprit, detail);
  }

  /** A rank's connection ended, or carried something that it must not. */
  static GroupEnd broken(int origin, int culprit, String reason) {
    return new GroupEnd(EpException.Code.GROUP, origin, culprit, reason);
  }

  /** What a rank throws because of it. */
  EpException exception(int rank, String operation) {
    return code == EpException.Code.TIMEOUT
        ? new EpTimeoutException(rank, operation, origin, culprit, operation, reason)
        : new EpException(code, rank, operation, reason);
  }
}
