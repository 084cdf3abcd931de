package io.github.deepep4j.internal.cuda.binding;

import java.io.File;
import java.io.IOException;
import java.net.URL;
import java.nio.file.Path;
import java.util.List;
import org.bytedeco.javacpp.Loader;
import org.jspecify.annotations.Nullable;

/**
 * The files of native libraries: where they lie, and loading them for the classes of this package.
 * Usually that is {@code libep4j.so} with its glue. A copy of these classes that another class
 * loader has made gets other files instead, which have the same functions, before it loads.
 */
public final class NativeFiles {
  private static final String PLATFORM = "linux-x86_64/";
  private static final List<String> LIBRARIES = List.of("libep4j.so", "libjniep4j.so");

  private static volatile List<String> chosen = List.of();

  private NativeFiles() {}

  /**
   * Names the files of this copy of the classes.
   *
   * @param files absolute, in the order of loading: what a library needs comes before it
   */
  public static void choose(List<String> files) {
    chosen = List.copyOf(files);
  }

  /** The files of a copy; empty for the classes that everybody else uses. */
  static List<String> chosen() {
    return chosen;
  }

  /** Loads, for the class loader of this copy. */
  static void load() {
    List<String> files = chosen;
    String directory = System.getProperty(NativeLibrary.DIRECTORY_PROPERTY);
    if (files.isEmpty() && directory == null) {
      NativeCache.dropStale(Ep4jNative.class, LIBRARIES);
      Loader.load(Ep4jNative.class);
      return;
    }
    for (String file : files.isEmpty() ? LIBRARIES : files) {
      System.load(files.isEmpty() ? new File(directory, file).getAbsolutePath() : file);
    }
  }

  /**
   * Looks for a library where ours are: an explicit directory, or else the class path and {@code
   * java.library.path}. What is found in a jar is extracted to JavaCPP's cache.
   *
   * @param library the file's name
   * @param tried gets each place where it is not
   * @return the file's absolute path; null if it is nowhere
   */
  public static @Nullable String find(String library, List<String> tried) {
    String directory = System.getProperty(NativeLibrary.DIRECTORY_PROPERTY);
    if (directory != null) {
      return existing(
          new File(directory, library),
          "-D" + NativeLibrary.DIRECTORY_PROPERTY + "=" + directory,
          tried);
    }
    URL resource = NativeFiles.class.getResource(PLATFORM + library);
    if (resource != null) {
      return extracted(resource, library, tried);
    }
    tried.add("class path: no " + PLATFORM + library);
    for (String path : System.getProperty("java.library.path", "").split(File.pathSeparator, -1)) {
      if (!path.isEmpty() && new File(path, library).isFile()) {
        return new File(path, library).getAbsolutePath();
      }
    }
    tried.add("java.library.path " + System.getProperty("java.library.path") + ": no " + library);
    return null;
  }

  private static @Nullable String existing(File file, String place, List<String> tried) {
    if (file.isFile()) {
      return file.getAbsolutePath();
    }
    tried.add(place + ": no " + file.getName());
    return null;
  }

  private static @Nullable String extracted(URL resource, String library, List<String> tried) {
    try {
      if (resource.getProtocol().equals("file")) {
        return Path.of(resource.toURI()).toString();
      }
      NativeCache.dropStale(NativeFiles.class, List.of(library));
      File cached = Loader.cacheResource(resource);
      if (cached != null) {
        return cached.getAbsolutePath();
      }
      tried.add(resource + ": JavaCPP could not extract it");
    } catch (IOException | java.net.URISyntaxException | LinkageError e) {
      tried.add(resource + ": " + e);
    }
    return null;
  }
}
