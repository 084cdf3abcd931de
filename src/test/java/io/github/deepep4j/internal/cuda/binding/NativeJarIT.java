package io.github.deepep4j.internal.cuda.binding;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.deepep4j.fixtures.ChildJvm;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import javax.tools.ToolProvider;
import org.bytedeco.javacpp.Loader;
import org.jspecify.annotations.NullMarked;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The jars that a user gets, after {@code package}: what is in them, and a program over them. */
@Tag("native")
final class NativeJarIT {
  private static final Path JAR = jar("deepep4j.test.jar");
  private static final Path NATIVE_JAR = jar("deepep4j.test.native.jar");

  private static final String CONSUMER =
      """
      import io.github.deepep4j.Ep4j;

      public final class Consumer {
        public static void main(String[] args) {
          for (Ep4j.BackendStatus status : Ep4j.availability()) {
            System.out.println(status.kind() + " " + status.available() + " " + status.detail());
          }
        }
      }
      """;

  @TempDir private Path directory;

  private static Path jar(String property) {
    String path = System.getProperty(property);
    assertThat(path).as("set by the profile cuda").isNotNull();
    return Path.of(path);
  }

  private static Path jarOf(Class<?> type) throws Exception {
    return Path.of(type.getProtectionDomain().getCodeSource().getLocation().toURI());
  }

  /** Compiles and runs the consumer as its own project would: with jars alone. */
  private List<String> consume(List<Path> jars) throws Exception {
    Path source = Files.writeString(directory.resolve("Consumer.java"), CONSUMER);
    String classPath =
        String.join(":", jars.stream().map(Path::toString).toList()) + ":" + directory;
    int compiled =
        ToolProvider.getSystemJavaCompiler()
            .run(null, null, null, "-Xlint:all", "-Werror", "-cp", classPath, source.toString());
    assertThat(compiled).isZero();
    return ChildJvm.run(
        classPath,
        "Consumer",
        directory.resolve("out.txt"),
        List.of("-Dorg.bytedeco.javacpp.cachedir=" + directory.resolve("cache")));
  }

  @Test
  void shouldLoadFromTheJar_whenAProgramHasItOnItsClassPath() throws Exception {
    List<String> lines =
        consume(List.of(JAR, NATIVE_JAR, jarOf(Loader.class), jarOf(NullMarked.class)));
    assertThat(lines)
        .filteredOn(line -> line.startsWith("CUDA "))
        .singleElement()
        .asString()
        .contains("jar:file:" + NATIVE_JAR + "!/")
        .contains("ABI version " + Abi.ABI_VERSION)
        .containsAnyOf("no device: ", "cuda:0: ");
    try (var extracted = Files.walk(directory.resolve("cache"))) {
      assertThat(extracted.map(file -> file.getFileName().toString()))
          .contains("libep4j.so", "libjniep4j.so");
    }
  }

  @Test
  void shouldNameTheMissingJar_whenAProgramHasOnlyTheLibrary() throws Exception {
    List<String> lines = consume(List.of(JAR, jarOf(Loader.class), jarOf(NullMarked.class)));
    assertThat(lines).anyMatch(line -> line.startsWith("CPU true"));
    assertThat(lines)
        .anyMatch(line -> line.startsWith("CUDA false") && line.contains("linux-x86_64-cuda13"));
  }

  @Test
  void shouldHoldTheLibrariesAndTheirLicencesAndNothingElse_whenPacked() throws IOException {
    String folder = NativeJarIT.class.getPackageName().replace('.', '/') + "/linux-x86_64/";
    try (JarFile jar = new JarFile(NATIVE_JAR.toFile())) {
      List<String> files =
          jar.stream().filter(entry -> !entry.isDirectory()).map(JarEntry::getName).toList();
      assertThat(files)
          .contains(
              folder + "libep4j.so",
              folder + "libjniep4j.so",
              folder + "libjniep4j_nvshmem.so",
              "META-INF/LICENSE",
              "META-INF/NOTICE")
          .allMatch(name -> name.startsWith(folder) || name.startsWith("META-INF/"))
          .filteredOn(name -> name.startsWith(folder))
          .hasSize(3); // and not libep4j_nvshmem.so, which has code of NVSHMEM in it
      String notice =
          new String(
              jar.getInputStream(jar.getEntry("META-INF/NOTICE")).readAllBytes(),
              StandardCharsets.UTF_8);
      assertThat(notice).contains("cudart_static", "GCC Runtime", "JavaCPP");
    }
    try (JarFile jar = new JarFile(JAR.toFile())) {
      assertThat(jar.stream().map(JarEntry::getName)).noneMatch(name -> name.endsWith(".so"));
    }
  }
}
