package io.github.deepep4j.gpu;

import io.github.deepep4j.Ep4j;

/** Prints what the library finds on a machine. */
final class Info {
  private Info() {}

  public static void main(String[] args) {
    System.out.println("DeepEP4J " + Ep4j.version() + ", Java " + Runtime.version());
    for (Ep4j.BackendStatus status : Ep4j.availability()) {
      System.out.println(status.kind() + (status.available() ? ": works" : ": does not work"));
      status.detail().forEach(line -> System.out.println("  " + line));
    }
    System.out.println("environment");
    for (String name :
        new String[] {
          "CUDA_VISIBLE_DEVICES",
          "CUDA_MODULE_LOADING",
          "CUDA_DEVICE_MAX_CONNECTIONS",
          "CUDA_MPS_PIPE_DIRECTORY",
          "LD_LIBRARY_PATH"
        }) {
      String value = System.getenv(name);
      System.out.println("  " + name + (value == null ? " is not set" : "=" + value));
    }
  }
}
