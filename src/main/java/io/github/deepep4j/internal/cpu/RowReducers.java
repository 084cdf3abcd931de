package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.internal.numeric.Fp8Cast;
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

  /** Compiled apart from main code and so named as strings; see the pom. */
  private static final String VECTOR_PACKAGE = "io.github.deepep4j.internal.cpu.vector.";

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
          "rows are added and cast in scalar Java; --add-modules "
              + MODULE
              + " makes it several times faster");
    }
    return new ScalarRowReducer();
  }

  /** The vector one; null where the module is not there. */
  static @Nullable RowReducer vector() {
    return load("VectorRowReducer", RowReducer.class);
  }

  /** A new instance of the best cast to FP8 that this JVM can run. */
  static RowCaster bestCaster() {
    RowCaster vector = vectorCaster();
    return vector != null ? vector : Fp8Cast::castRow;
  }

  /** The vector one; null where the module is not there. */
  static @Nullable RowCaster vectorCaster() {
    return load("VectorRowCaster", RowCaster.class);
  }

  private static <T> @Nullable T load(String name, Class<T> type) {
    if (ModuleLayer.boot().findModule(MODULE).isEmpty()) {
      return null;
    }
    try {
      Constructor<?> constructor = Class.forName(VECTOR_PACKAGE + name).getDeclaredConstructor();
      return type.cast(constructor.newInstance());
    } catch (ReflectiveOperationException | LinkageError e) {
      LOG.log(System.Logger.Level.WARNING, "the Vector API is there but unusable", e);
      return null;
    }
  }
}
