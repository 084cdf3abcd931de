package io.github.deepep4j.internal.nvshmem;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.SizeHint;
import io.github.deepep4j.internal.backend.Backend;
import java.util.List;

/** The CUDA backend over NVSHMEM, as seen from outside its class loader. */
public interface NvshmemEnd extends Backend {
  /** Loads the libraries if need be, and says which they are or why they do not load. */
  List<String> findings();

  /** Whether the libraries have loaded. */
  boolean isLoaded();

  /**
   * Bytes that one rank's end of a buffer will take.
   *
   * @param options of the buffer
   * @param numRanks n, a divisor of the number of experts
   */
  SizeHint sizeHint(BufferOptions options, int numRanks);
}
