package io.github.deepep4j.internal.nvshmem;

import java.io.File;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Where NVSHMEM's host library may lie. A place that somebody has named must have it; the wheels of
 * all Pythons on the path are tried after that, and then it is left to the system's loader.
 */
final class NvshmemPlaces {
  /** What a build against NVSHMEM 3 needs. */
  static final String HOST_LIBRARY = "libnvshmem_host.so.3";

  private static final String WHEEL = "nvidia/nvshmem";

  private final Map<String, String> environment;
  private final List<String> tried = new ArrayList<>();

  /**
   * For a process.
   *
   * @param environment its variables
   */
  NvshmemPlaces(Map<String, String> environment) {
    this.environment = environment;
  }

  /** Each place where it is not, and what is left to the loader. */
  List<String> tried() {
    return List.copyOf(tried);
  }

  /**
   * Looks for the host library.
   *
   * @param homeProperty name of the system property for its directory
   * @param homeVariable name of the variable of the environment for it
   * @return its path; null if it is in none of the places that can be listed
   */
  @Nullable Path find(String homeProperty, String homeVariable) {
    String property = System.getProperty(homeProperty);
    if (property != null) {
      return named("-D" + homeProperty + "=" + property, property);
    }
    String variable = environment.get(homeVariable);
    if (variable != null && !variable.isEmpty()) {
      return named(homeVariable + "=" + variable, variable);
    }
    tried.add(homeVariable + ": not set");
    for (Path packages : pythonPackages()) {
      Path library = packages.resolve(WHEEL).resolve("lib").resolve(HOST_LIBRARY);
      if (Files.isRegularFile(library)) {
        return library.toAbsolutePath();
      }
    }
    tried.add("pip's nvidia-nvshmem-cu13 of the Pythons on PATH: not there");
    tried.add(
        "the loader's places, LD_LIBRARY_PATH " + environment.getOrDefault("LD_LIBRARY_PATH", ""));
    return null;
  }

  /** Whether somebody has said where it is, so that nothing else is to be tried. */
  boolean isNamed(String homeProperty, String homeVariable) {
    return System.getProperty(homeProperty) != null
        || !environment.getOrDefault(homeVariable, "").isEmpty();
  }

  private @Nullable Path named(String place, String home) {
    Path library = Path.of(home, "lib", HOST_LIBRARY);
    if (Files.isRegularFile(library)) {
      return library.toAbsolutePath();
    }
    tried.add(place + ": no lib/" + HOST_LIBRARY);
    return null;
  }

  /**
   * Where the Pythons of the path, of a virtual environment and of the user keep packages: nothing
   * is run to find out.
   */
  private Set<Path> pythonPackages() {
    Set<Path> prefixes = new LinkedHashSet<>();
    for (String directory : environment.getOrDefault("PATH", "").split(File.pathSeparator, -1)) {
      Path python = Path.of(directory, "python3");
      Path prefix = Path.of(directory).toAbsolutePath().getParent();
      if (!directory.isEmpty() && prefix != null && Files.isExecutable(python)) {
        prefixes.add(prefix);
        if (prefix.equals(Path.of("/usr"))) {
          prefixes.add(Path.of("/usr/local"));
        }
      }
    }
    prefixes.add(Path.of(environment.getOrDefault("HOME", "/"), ".local"));
    Set<Path> packages = new LinkedHashSet<>();
    for (Path prefix : prefixes) {
      for (Path version : children(prefix.resolve("lib"), "python3*")) {
        packages.add(version.resolve("site-packages"));
        packages.add(version.resolve("dist-packages"));
      }
    }
    return packages;
  }

  private static List<Path> children(Path directory, String glob) {
    List<Path> found = new ArrayList<>();
    if (Files.isDirectory(directory)) {
      try (DirectoryStream<Path> entries = Files.newDirectoryStream(directory, glob)) {
        entries.forEach(found::add);
      } catch (IOException e) {
        return List.of(); // not for us to read
      }
    }
    found.sort(null);
    return found;
  }
}
