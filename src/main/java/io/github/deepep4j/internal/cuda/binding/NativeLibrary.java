package io.github.deepep4j.internal.cuda.binding;

import io.github.deepep4j.internal.memory.Memory;
import io.github.deepep4j.internal.memory.OffHeap;
import java.io.File;
import java.net.URL;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The native library in this process: loaded and of the right version, or the list of places looked
 * in and the cause. Decided once; asking never throws and, on a machine without the library, driver
 * or device, leaves no class half initialised that anything else needs.
 */
public final class NativeLibrary {
  /** Names a directory with libep4j.so and libjniep4j.so, instead of the class path. */
  public static final String DIRECTORY_PROPERTY = "deepep4j.native.dir";

  /** Where the libraries lie in the classifier jar, beside this package's classes. */
  private static final String RESOURCE = "linux-x86_64/libjniep4j.so";

  private static final String GLUE = "libjniep4j.so";

  private static final class Holder {
    static final NativeLibrary INSTANCE = load();
  }

  private final boolean loaded;
  private final List<String> findings;
  private final @Nullable Throwable cause;

  private NativeLibrary(boolean loaded, List<String> findings, @Nullable Throwable cause) {
    this.loaded = loaded;
    this.findings = List.copyOf(findings);
    this.cause = cause;
  }

  /** The state of this process; the first call loads. */
  public static NativeLibrary get() {
    return Holder.INSTANCE;
  }

  /** Whether {@link Ep4jNative} may be called. */
  public boolean isLoaded() {
    return loaded;
  }

  /** What was loaded, or each place looked in and what was found there. */
  public List<String> findings() {
    return findings;
  }

  /** Why it could not be loaded; null if it was, or if it was of the wrong version. */
  public @Nullable Throwable cause() {
    return cause;
  }

  /**
   * Devices that a buffer can be made on.
   *
   * @return how many; 0 with the library's reason added to {@code reasons}
   */
  public int deviceCount(List<String> reasons) {
    if (!loaded) {
      reasons.addAll(findings);
      return 0;
    }
    try (Memory count = OffHeap.allocate(Integer.BYTES)) {
      OffHeap.putInt(count.address(), 0);
      int status = Ep4jNative.deviceCount(count.address());
      if (status != Abi.OK) {
        reasons.add("no device: " + Ep4jNative.lastError());
        return 0;
      }
      int devices = OffHeap.getInt(count.address());
      if (devices == 0) {
        reasons.add("no device: the driver reports none");
      }
      return devices;
    }
  }

  private static NativeLibrary load() {
    String place = place();
    if (NativeFiles.chosen().isEmpty() && isNowhere()) {
      // Not even asked for by JavaCPP: a JVM without the natives need not load it.
      return new NativeLibrary(false, List.of(place + ": not there"), null);
    }
    try {
      int version = Ep4jNative.abiVersion();
      int glueVersion = Ep4jNative.glueAbiVersion();
      if (version != Abi.ABI_VERSION || glueVersion != Abi.ABI_VERSION) {
        return new NativeLibrary(
            false,
            List.of(
                place
                    + ": ABI version "
                    + version
                    + " (glue "
                    + glueVersion
                    + "), this jar needs "
                    + Abi.ABI_VERSION
                    + ": use the classifier jar of the same version"),
            null);
      }
      List<String> differing = differingSizes();
      return differing.isEmpty()
          ? new NativeLibrary(true, List.of(place + ": ABI version " + version), null)
          : new NativeLibrary(false, List.of(place + ": struct sizes differ: " + differing), null);
    } catch (LinkageError e) {
      return new NativeLibrary(false, List.of(place + ": " + reason(e)), e);
    }
  }

  /** Whether the library is in none of the places that would be searched for it. */
  private static boolean isNowhere() {
    if (System.getProperty(DIRECTORY_PROPERTY) != null
        || NativeLibrary.class.getResource(RESOURCE) != null) {
      return false;
    }
    for (String directory :
        System.getProperty("java.library.path", "").split(File.pathSeparator, -1)) {
      if (!directory.isEmpty() && new File(directory, GLUE).isFile()) {
        return false;
      }
    }
    return true;
  }

  private static String place() {
    List<String> chosen = NativeFiles.chosen();
    if (!chosen.isEmpty()) {
      return String.join(", ", chosen);
    }
    String directory = System.getProperty(DIRECTORY_PROPERTY);
    if (directory != null) {
      return "-D" + DIRECTORY_PROPERTY + "=" + directory;
    }
    URL resource = NativeLibrary.class.getResource(RESOURCE);
    return resource == null
        ? "class path (no linux-x86_64-cuda13 jar with "
            + RESOURCE
            + "), java.library.path "
            + System.getProperty("java.library.path")
        : resource.toString();
  }

  /** The innermost message: the outer ones repeat it or only say that a class is unusable. */
  private static String reason(Throwable failure) {
    Throwable innermost = failure;
    while (innermost.getCause() != null) {
      innermost = innermost.getCause();
    }
    String message = innermost.getMessage();
    return innermost instanceof NoClassDefFoundError
        ? "class " + message + " is not on the class path (org.bytedeco:javacpp is needed)"
        : message == null ? innermost.toString() : message;
  }

  private static List<String> differingSizes() {
    List<String> differing = new ArrayList<>();
    compare(differing, DeviceInfo.SHAPE, Ep4jNative.sizeofDevice());
    compare(differing, LinkInfo.SHAPE, Ep4jNative.sizeofLink());
    compare(differing, BufferConfig.SHAPE, Ep4jNative.sizeofBufferConfig());
    compare(differing, BufferMemory.SHAPE, Ep4jNative.sizeofBufferMemory());
    compare(differing, RegionForm.SHAPE, Ep4jNative.sizeofRegionForm());
    compare(differing, DispatchCall.SHAPE, Ep4jNative.sizeofDispatchCall());
    compare(differing, DispatchAddresses.SHAPE, Ep4jNative.sizeofDispatchResult());
    compare(differing, Counts.SHAPE, Ep4jNative.sizeofCounts());
    compare(differing, CombineCall.SHAPE, Ep4jNative.sizeofCombineCall());
    compare(differing, CombineReceiveCall.SHAPE, Ep4jNative.sizeofCombineReceiveCall());
    compare(differing, LowLatencyConfig.SHAPE, Ep4jNative.sizeofLowLatencyConfig());
    compare(differing, LowLatencyDispatchCall.SHAPE, Ep4jNative.sizeofLowLatencyDispatchCall());
    compare(differing, LowLatencyAddresses.SHAPE, Ep4jNative.sizeofLowLatencyResult());
    compare(differing, LowLatencyCombineCall.SHAPE, Ep4jNative.sizeofLowLatencyCombineCall());
    compare(differing, InternodeConfig.SHAPE, Ep4jNative.sizeofInternodeConfig());
    compare(differing, NetworkTraffic.SHAPE, Ep4jNative.sizeofNetwork());
    compare(differing, LayoutCall.SHAPE, Ep4jNative.sizeofLayoutCall());
    compare(differing, LayoutVerdict.SHAPE, Ep4jNative.sizeofLayoutVerdict());
    compare(differing, CopyCall.SHAPE, Ep4jNative.sizeofCopyCall());
    compare(differing, ErrorRecord.SHAPE, Ep4jNative.sizeofErrorRecord());
    compare(differing, RowCopyCall.SHAPE, Ep4jNative.sizeofRowCopyCall());
    compare(differing, HostWords.SHAPE, Ep4jNative.sizeofHostWords());
    compare(differing, Standing.SHAPE, Ep4jNative.sizeofStanding());
    compare(differing, WelcomeCall.SHAPE, Ep4jNative.sizeofWelcomeCall());
    if (!NativeFiles.chosen().isEmpty()) {
      compare(differing, NvshmemConfig.SHAPE, NvshmemNative.sizeofConfig());
      compare(differing, NvshmemWindow.SHAPE, NvshmemNative.sizeofWindow());
      compare(differing, NvshmemStanding.SHAPE, NvshmemNative.sizeofStanding());
    }
    return differing;
  }

  private static void compare(List<String> differing, Shape shape, int bytes) {
    if (shape.size() != bytes) {
      differing.add(shape.name() + " has " + shape.size() + " bytes here and " + bytes + " there");
    }
  }
}
