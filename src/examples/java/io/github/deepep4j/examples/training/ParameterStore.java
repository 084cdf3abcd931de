package io.github.deepep4j.examples.training;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;

/**
 * Makes one rank's parameters and keeps them in order of creation. Initial values depend on the
 * seed and the parameter's name alone, so an expert starts the same on whichever rank it lives.
 */
final class ParameterStore {
  private final long seed;
  private final int shardsOfRank;
  private final List<Parameter> all = new ArrayList<>();
  private final List<Parameter> dense = new ArrayList<>();

  ParameterStore(long seed, int shardsOfRank) {
    this.seed = seed;
    this.shardsOfRank = shardsOfRank;
  }

  /** A weight that every rank has a copy of, {@code [in][out]}. */
  Parameter dense(String name, int in, int out) {
    return addDense(new Parameter(name, uniform(name, in, out), shardsOfRank));
  }

  /** A replicated row of ones. */
  Parameter denseOnes(String name, int width) {
    float[][] ones = new float[1][width];
    Arrays.fill(ones[0], 1);
    return addDense(new Parameter(name, ones, shardsOfRank));
  }

  /** A weight that lives on this rank only, {@code [in][out]}. */
  Parameter expert(String name, int in, int out) {
    Parameter parameter = new Parameter(name, uniform(name, in, out), 1);
    all.add(parameter);
    return parameter;
  }

  /** The replicated ones, in the same order on all ranks. */
  List<Parameter> dense() {
    return dense;
  }

  /** Everything that this rank updates. */
  List<Parameter> all() {
    return all;
  }

  int numElements() {
    return all.stream().mapToInt(Parameter::numElements).sum();
  }

  private Parameter addDense(Parameter parameter) {
    all.add(parameter);
    dense.add(parameter);
    return parameter;
  }

  /** Keeps the variance of a row: a uniform distribution over ±b has variance b²/3. */
  private float[][] uniform(String name, int in, int out) {
    SplittableRandom random = new SplittableRandom(seed * 0x9E3779B97F4A7C15L + name.hashCode());
    float bound = (float) Math.sqrt(3.0 / in);
    float[][] value = new float[in][out];
    for (float[] row : value) {
      for (int i = 0; i < out; i++) {
        row[i] = (float) ((random.nextDouble() * 2 - 1) * bound);
      }
    }
    return value;
  }
}
