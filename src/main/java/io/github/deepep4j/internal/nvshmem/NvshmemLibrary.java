package io.github.deepep4j.internal.nvshmem;

import io.github.deepep4j.NvshmemOptions;
import io.github.deepep4j.error.BackendUnavailableException;
import io.github.deepep4j.internal.cuda.binding.NativeFiles;
import java.io.File;
import java.lang.reflect.InvocationTargetException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * {@code libep4j_nvshmem.so} in this process: loaded, or the list of places looked in and the
 * cause. Decided once, when a buffer first asks; asking never throws.
 */
public final class NvshmemLibrary {
  /** What is copied, and made in the copy by name. */
  private static final String PACKAGE = "io.github.deepep4j.internal.cuda";

  private static final String ENTRY = PACKAGE + ".NvshmemBackend";
  private static final String LIBRARY = "libep4j_nvshmem.so";
  private static final String GLUE = "libjniep4j_nvshmem.so";
  private static final String REMEDY =
      "Build libep4j_nvshmem.so by scripts/build-native.sh and name it by -D"
          + NvshmemOptions.LIBRARY_PROPERTY
          + ", install NVSHMEM 3 (pip install nvidia-nvshmem-cu13) or set "
          + NvshmemOptions.HOME_VARIABLE
          + "; docs/cluster.md says more. On one host transport(PEER) needs neither.";

  private static final class Holder {
    static final NvshmemLibrary INSTANCE = open();
  }

  private final @Nullable NvshmemEnd end;
  private final List<String> findings;

  private NvshmemLibrary(@Nullable NvshmemEnd end, List<String> findings) {
    this.end = end;
    this.findings = List.copyOf(findings);
  }

  /** The state of this process; the first call loads. */
  public static NvshmemLibrary get() {
    return Holder.INSTANCE;
  }

  /** Whether {@link #end} gives something. */
  public boolean isLoaded() {
    return end != null;
  }

  /** What was loaded, or each place looked in and what was found there. */
  public List<String> findings() {
    return findings;
  }

  /** What a user can do about it. */
  public static String remedy() {
    return REMEDY;
  }

  /**
   * The backend over it.
   *
   * @throws BackendUnavailableException if it has not loaded
   */
  public NvshmemEnd end() {
    if (end == null) {
      throw new BackendUnavailableException("CUDA over NVSHMEM", findings, REMEDY);
    }
    return end;
  }

  private static NvshmemLibrary open() {
    List<String> tried = new ArrayList<>();
    NvshmemPlaces places = new NvshmemPlaces(System.getenv());
    String library = library(tried);
    String glue = NativeFiles.find(GLUE, tried);
    Path host = places.find(NvshmemOptions.HOME_PROPERTY, NvshmemOptions.HOME_VARIABLE);
    tried.addAll(places.tried());
    boolean leftToLoader =
        host == null && !places.isNamed(NvshmemOptions.HOME_PROPERTY, NvshmemOptions.HOME_VARIABLE);
    if (library == null || glue == null || (host == null && !leftToLoader)) {
      return new NvshmemLibrary(null, tried);
    }
    List<String> files = new ArrayList<>();
    if (host != null) {
      files.add(host.toString());
    }
    files.add(library);
    files.add(glue);
    try {
      NvshmemEnd end = copy(files);
      tried.addAll(end.findings());
      return end.isLoaded()
          ? new NvshmemLibrary(end, end.findings())
          : new NvshmemLibrary(null, tried);
    } catch (ReflectiveOperationException | LinkageError e) {
      tried.add("a second copy of " + PACKAGE + ": " + e);
      return new NvshmemLibrary(null, tried);
    }
  }

  private static @Nullable String library(List<String> tried) {
    String named = System.getProperty(NvshmemOptions.LIBRARY_PROPERTY);
    if (named == null) {
      return NativeFiles.find(LIBRARY, tried);
    }
    File file = new File(named);
    if (file.isFile()) {
      return file.getAbsolutePath();
    }
    tried.add("-D" + NvshmemOptions.LIBRARY_PROPERTY + "=" + named + ": no such file");
    return null;
  }

  private static NvshmemEnd copy(List<String> files) throws ReflectiveOperationException {
    ClassLoader parent =
        Objects.requireNonNull(NvshmemLibrary.class.getClassLoader(), "never the bootstrap loader");
    Class<?> entry = new CopyLoader(PACKAGE, parent).loadClass(ENTRY);
    try {
      return (NvshmemEnd) entry.getConstructor(List.class).newInstance(files);
    } catch (InvocationTargetException e) {
      throw new ReflectiveOperationException(ENTRY + " failed: " + e.getCause(), e.getCause());
    }
  }
}
