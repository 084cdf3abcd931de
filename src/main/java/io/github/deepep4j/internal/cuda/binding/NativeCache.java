package io.github.deepep4j.internal.cuda.binding;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.bytedeco.javacpp.Loader;

/**
 * JavaCPP's cache of extracted libraries, as far as it can be wrong. It believes a cached file of
 * the jar entry's size and time; our jars are reproducible, so every build's entries have the same
 * time, and a rebuilt library of equal size would never be extracted: the old code would run. So
 * the bytes are compared before anything is loaded.
 */
final class NativeCache {
  private NativeCache() {}

  /**
   * Deletes cached libraries that are not those of the jar. A process that has loaded one keeps it:
   * the file lives on until it is unmapped.
   *
   * @param owner the class beside whose package the libraries lie
   * @param libraries their files' names
   */
  static void dropStale(Class<?> owner, List<String> libraries) {
    for (String library : libraries) {
      URL resource = owner.getResource(Loader.getPlatform() + "/" + library);
      if (resource == null || !resource.getProtocol().equals("jar")) {
        continue; // absent, or loaded in place
      }
      try {
        File cached = Loader.cacheResource(resource);
        if (cached != null && !sameBytes(resource, cached.toPath())) {
          Files.deleteIfExists(cached.toPath());
        }
      } catch (IOException e) {
        // The loader meets the same trouble and reports it with every place it looked in.
      }
    }
  }

  private static boolean sameBytes(URL resource, Path file) throws IOException {
    try (InputStream expected = resource.openStream();
        InputStream cached = Files.newInputStream(file)) {
      byte[] left = new byte[1 << 16];
      while (true) {
        int count = expected.readNBytes(left, 0, left.length);
        byte[] right = cached.readNBytes(count == 0 ? 1 : count);
        if (!java.util.Arrays.equals(left, 0, count, right, 0, right.length)) {
          return false;
        }
        if (count == 0) {
          return true;
        }
      }
    }
  }
}
