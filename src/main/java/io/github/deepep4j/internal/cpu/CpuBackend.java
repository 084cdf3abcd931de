package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.Ep4j;
import io.github.deepep4j.group.ProcessGroup;
import io.github.deepep4j.internal.backend.Backend;
import io.github.deepep4j.internal.backend.BackendBuffer;
import io.github.deepep4j.internal.memory.SharedWindow;
import io.github.deepep4j.tensor.Device;
import java.util.List;

/** The embedded backend: works wherever the library runs. */
public final class CpuBackend implements Backend {
  @Override
  public Ep4j.BackendStatus status() {
    return new Ep4j.BackendStatus(
        Device.Kind.CPU,
        true,
        List.of(
            "embedded, Java " + Runtime.version().feature(),
            "row sums: " + RowReducers.best().description()));
  }

  @Override
  public BackendBuffer createBuffer(ProcessGroup group, BufferOptions options, Device device) {
    WindowLayout layout = WindowLayout.of(options, group.size());
    SharedWindow window = SharedWindow.open(group, layout.bytes(), layout.dispatchBase());
    return new CpuBuffer(group, options, layout, window);
  }
}
