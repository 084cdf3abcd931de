package io.github.deepep4j.tune;

/**
 * Times of one operation of all ranks, until the slowest has its result; medians.
 *
 * @param dispatchNanos a dispatch over a handle
 * @param combineNanos a combine
 */
record Times(double dispatchNanos, double combineNanos) {}
