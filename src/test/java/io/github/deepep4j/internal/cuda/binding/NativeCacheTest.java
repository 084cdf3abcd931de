package io.github.deepep4j.internal.cuda.binding;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.OutputStream;
import java.net.URI;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.jar.JarOutputStream;
import java.util.stream.Collectors;
import java.util.zip.ZipEntry;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Loading from the classifier jar through JavaCPP's cache, in JVMs of their own. */
@Tag("native")
final class NativeCacheTest {
  private static final String FOLDER = "io/github/deepep4j/internal/cuda/binding/linux-x86_64/";
  private static final List<String> LIBRARIES = List.of("libep4j.so", "libjniep4j.so");

  @TempDir private Path directory;

  /** Run in a JVM of its own: loads and says how it went. */
  static final class Load {
    private Load() {}

    public static void main(String[] args) {
      System.out.println(NativeLibrary.get().isLoaded() + " " + NativeLibrary.get().findings());
    }
  }

  private static byte[] library(String name) throws IOException {
    URL resource = NativeCacheTest.class.getResource("linux-x86_64/" + name);
    assertThat(resource).as(name + " was built by the profile cuda").isNotNull();
    return resource.openStream().readAllBytes();
  }

  /** A jar with the libraries, told apart by a last byte that the loader of ELF files ignores. */
  private void writeJar(Path jar, int mark) throws IOException {
    try (OutputStream file = Files.newOutputStream(jar);
        JarOutputStream out = new JarOutputStream(file)) {
      for (String name : LIBRARIES) {
        ZipEntry entry = new ZipEntry(FOLDER + name);
        entry.setTime(1_000_000_000_000L); // as in a reproducible build: every build's the same
        out.putNextEntry(entry);
        out.write(library(name));
        out.write(mark);
        out.closeEntry();
      }
    }
  }

  private String load(Path jar, Path cache) throws Exception {
    Path out = directory.resolve("out.txt");
    String classPath =
        jar
            + ":"
            + Arrays.stream(System.getProperty("java.class.path").split(":", -1))
                .filter(entry -> !entry.contains("native-classes"))
                .collect(Collectors.joining(":"));
    Process process =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Dorg.bytedeco.javacpp.cachedir=" + cache,
                "-cp",
                classPath,
                Load.class.getName())
            .redirectErrorStream(true)
            .redirectOutput(out.toFile())
            .start();
    boolean ended = process.waitFor(120, TimeUnit.SECONDS);
    process.destroyForcibly();
    assertThat(ended).isTrue();
    return Files.readString(out, StandardCharsets.UTF_8);
  }

  private static List<Integer> marks(Path cache) throws IOException {
    try (var files = Files.walk(cache)) {
      List<Path> libraries =
          files.filter(file -> LIBRARIES.contains(file.getFileName().toString())).toList();
      return libraries.stream().map(NativeCacheTest::lastByte).toList();
    }
  }

  private static int lastByte(Path file) {
    try {
      byte[] bytes = Files.readAllBytes(file);
      return bytes[bytes.length - 1];
    } catch (IOException e) {
      throw new AssertionError(e);
    }
  }

  @Test
  void shouldLoadTheRebuiltLibrary_whenTheCacheHasOneOfTheSameSizeAndTime() throws Exception {
    Path jar = directory.resolve("natives.jar");
    Path cache = directory.resolve("cache");
    writeJar(jar, 'A');
    assertThat(load(jar, cache)).startsWith("true").contains(URI.create("file:" + jar).getPath());
    assertThat(marks(cache)).containsExactly((int) 'A', (int) 'A');
    writeJar(jar, 'B');
    assertThat(load(jar, cache)).startsWith("true");
    assertThat(marks(cache)).containsExactly((int) 'B', (int) 'B');
  }
}
