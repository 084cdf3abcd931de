package io.github.deepep4j.internal.backend;

import io.github.deepep4j.Buffer;
import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.DeviceMemory;
import io.github.deepep4j.Ep4j;
import io.github.deepep4j.error.BackendUnavailableException;
import io.github.deepep4j.group.LocalGroup;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Device;
import io.github.deepep4j.tensor.Tensor;

/** Run in a JVM of its own: prints what the choice of a backend comes to there. */
final class BackendProbe {
  private static final BufferOptions OPTIONS = BufferOptions.of(8, 64, 16);

  private BackendProbe() {}

  public static void main(String[] args) {
    for (Ep4j.BackendStatus status : Ep4j.availability()) {
      print(status.kind() + " " + status.available() + " " + status.detail());
    }
    // Twice: the first failure must not leave a class that fails differently from then on.
    for (int attempt = 0; attempt < 2; attempt++) {
      try (Tensor tensor = DeviceMemory.allocate(Device.cuda(0), DType.INT32, 1)) {
        print("memory " + tensor);
      } catch (BackendUnavailableException e) {
        print("memory " + e.getMessage());
      }
    }
    LocalGroup.run(
        2,
        group -> {
          try (Buffer buffer =
              Buffer.builder(group).options(OPTIONS).device(Device.cuda(0)).build()) {
            print("explicit " + buffer.device());
          } catch (BackendUnavailableException e) {
            print("explicit " + e.getMessage());
          }
        });
    LocalGroup.run(
        2,
        group -> {
          try (Buffer buffer = Buffer.create(group, OPTIONS)) {
            print("automatic " + buffer.device());
          } catch (BackendUnavailableException e) {
            print("automatic " + e.getMessage());
          }
        });
  }

  private static synchronized void print(String line) {
    System.out.println(line);
  }
}
