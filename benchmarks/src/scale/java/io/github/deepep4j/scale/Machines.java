package io.github.deepep4j.scale;

/**
 * The machines of the report, and where their rates come from. NVLink rates are what is usable of
 * them according to V1's authors (160 of 200 GB/s per direction on H800), and the same part of 450
 * GB/s for H100 and H200; a 400 Gb/s card carries 50 GB/s.
 */
final class Machines {
  /**
   * One way, a message between two machines; an assumption. What matters is its product with the
   * rate, which the credits must cover.
   */
  private static final double NIC_LATENCY_NS = 3_000;

  /** One way inside a node: half a flag's round trip measured on one GPU. */
  private static final double NVLINK_LATENCY_NS = 1_000;

  private Machines() {}

  /** GB/s that V1 moved on 24 SMs of an H200 with two ranks, per SM (targets, section 2). */
  static double v1SmGbs(Workload.Operation operation) {
    return (operation == Workload.Operation.DISPATCH ? 302.0 : 249.0) / 24;
  }

  /**
   * The same for direct placement: rows gathered by TMA on 24 SMs (targets, section 1), and the
   * prototype's combine on 24 SMs (section 2).
   */
  static double ownSmGbs(Workload.Operation operation) {
    return (operation == Workload.Operation.DISPATCH ? 1168.0 : 653.0) / 24;
  }

  /** Eight H800 with a CX7 each. */
  static Machine h800(double smGbs, int sms) {
    return machine("H800", 160, smGbs, sms);
  }

  /** Eight H100 or H200 with a CX7 each. */
  static Machine h100(double smGbs, int sms) {
    return machine("H100", 360, smGbs, sms);
  }

  private static Machine machine(String name, double nvlinkGbs, double smGbs, int sms) {
    return new Machine(name, 8, nvlinkGbs, 50, smGbs, sms, NIC_LATENCY_NS, NVLINK_LATENCY_NS);
  }
}
