package io.github.deepep4j.internal.cpu;

import java.lang.reflect.Constructor;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;

/**
 * Chooses the arithmetic: the Vector API where the JVM was started with {@code --add-modules
 * jdk.incubator.vector}, else plain Java, said once.
 */
final class RowReducers {
  private static final System.Logger LOG = System.getLogger("io.github.deepep4j");
  private static final String MODULE = "jdk.incubator.vector";
  private static final AtomicBoolean SAID = new AtomicBoolean();

  /** Compiled apart from main code and so named as a string; see the pom. */
  private static final String VECTOR_CLASS =
      "io.github.deepep4j.internal.cpu.vector.VectorRowReducer";

  private RowReducers() {}

  /** A new instance of the best that this JVM can run. */
  static RowReducer best() {
    RowReducer vector = vector();
    if (vector != null) {
      return vector;
    }
    if (SAID.compareAndSet(false, true)) {
      LOG.log(
          System.Logger.Level.INFO,
          "combine adds rows in scalar Java; --add-modules "
              + MODULE
              + " makes it several times faster");
    }
    return new ScalarRowReducer();
  }

  /** The vector one; null where the module is not there. */
  static @Nullable RowReducer vector() {
    if (ModuleLayer.boot().findModule(MODULE).isEmpty()) {
      return null;
    }
    try {
      Constructor<?> constructor = Class.forName(VECTOR_CLASS).getDeclaredConstructor();
      return (RowReducer) constructor.newInstance();
    } catch (ReflectiveOperationException | LinkageError e) {
      LOG.log(System.Logger.Level.WARNING, "the Vector API is there but unusable", e);
      return null;
    }
  }
}
