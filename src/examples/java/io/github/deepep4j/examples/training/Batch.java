package io.github.deepep4j.examples.training;

/**
 * One rank's tokens of a step, its shards one after another.
 *
 * @param contexts {@code [rows][context]}, the characters before, oldest first
 * @param targets {@code [rows]}, the characters to predict
 */
record Batch(int[][] contexts, int[] targets) {}
