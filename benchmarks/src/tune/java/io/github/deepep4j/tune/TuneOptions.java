package io.github.deepep4j.tune;

import io.github.deepep4j.tensor.Device;
import java.nio.file.Path;
import java.util.List;

/**
 * What is tuned for.
 *
 * @param cuda on GPUs, else on the CPU
 * @param numDevices GPUs; rank r is on r modulo this
 * @param numRanks ranks, as threads of this JVM
 * @param numTokens of each rank
 * @param hidden BF16 elements of a row
 * @param numTopk experts of a token
 * @param numExperts over all ranks
 * @param rounds operations of a trial
 * @param passes trials of a candidate
 * @param out the file
 */
record TuneOptions(
    boolean cuda,
    int numDevices,
    int numRanks,
    int numTokens,
    int hidden,
    int numTopk,
    int numExperts,
    int rounds,
    int passes,
    Path out) {
  static final String HELP =
      """
      Looks for the fastest tuning of this machine and writes it to a file that a buffer loads:
        BufferOptions.of(...).measuredTuning(MeasuredTuning.read(path))
        --out FILE      where to (tuning.conf)
        --ranks N       ranks as threads (2)
        --backend cpu | cuda (cpu)
        --devices D     GPUs that the ranks share (1)
        --tokens T --hidden H --topk K --experts E   of the calls (1024, 7168, 8, 64)
        --rounds R --passes P   operations of a trial, and trials of a candidate (30, 3)
      """;

  static TuneOptions defaults() {
    return new TuneOptions(false, 1, 2, 1024, 7168, 8, 64, 30, 3, Path.of("tuning.conf"));
  }

  /**
   * Reads a command line.
   *
   * @throws IllegalArgumentException naming the argument
   */
  static TuneOptions parse(List<String> arguments) {
    TuneOptions o = defaults();
    for (int i = 0; i < arguments.size(); i += 2) {
      String name = arguments.get(i);
      if (i + 1 == arguments.size()) {
        throw new IllegalArgumentException(name + " needs a value");
      }
      String value = arguments.get(i + 1);
      o = o.with(name, value);
    }
    return o;
  }

  private TuneOptions with(String name, String value) {
    boolean onGpus = cuda;
    Path file = out;
    int[] sizes = {numDevices, numRanks, numTokens, hidden, numTopk, numExperts, rounds, passes};
    int index =
        List.of(
                "--devices",
                "--ranks",
                "--tokens",
                "--hidden",
                "--topk",
                "--experts",
                "--rounds",
                "--passes")
            .indexOf(name);
    if (index >= 0) {
      sizes[index] = positive(name, value);
    } else if (name.equals("--out")) {
      file = Path.of(value);
    } else if (name.equals("--backend") && List.of("cpu", "cuda").contains(value)) {
      onGpus = value.equals("cuda");
    } else {
      throw new IllegalArgumentException("unknown: " + name + " " + value);
    }
    return new TuneOptions(
        onGpus, sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], sizes[6], sizes[7],
        file);
  }

  private static int positive(String name, String value) {
    if (!value.matches("[1-9][0-9]{0,8}")) {
      throw new IllegalArgumentException(name + " must be a whole number from 1 on: " + value);
    }
    return Integer.parseInt(value);
  }

  /** A rank's device. */
  Device device(int rank) {
    return cuda ? Device.cuda(rank % numDevices) : Device.cpu();
  }
}
