package io.github.deepep4j.internal.nvshmem;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.deepep4j.fixtures.ChildJvm;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * What asking for NVSHMEM says where it is not, and where a build has it. In JVMs of their own,
 * because a process decides once.
 */
final class NvshmemLibraryTest {
  @TempDir private Path directory;

  private List<String> probe(String... options) throws Exception {
    return ChildJvm.run(
        System.getProperty("java.class.path"),
        NvshmemProbe.class.getName(),
        directory.resolve("out.txt"),
        List.of(options));
  }

  @Test
  void shouldListEachPlaceAndTheRemedy_whenThereIsNothing() throws Exception {
    Path missing = directory.resolve("missing.so");
    List<String> lines =
        probe(
            "-Ddeepep4j.native.dir=" + directory,
            "-Ddeepep4j.nvshmem.library=" + missing,
            "-Ddeepep4j.nvshmem.home=" + directory);
    assertThat(lines)
        .filteredOn(line -> line.startsWith("sizes ") || line.startsWith("buffer "))
        .hasSize(3)
        .allMatch(
            line ->
                line.contains("BACKEND_UNAVAILABLE")
                    && line.contains("-Ddeepep4j.nvshmem.library=" + missing + ": no such file")
                    && line.contains(
                        "-Ddeepep4j.native.dir=" + directory + ": no libjniep4j_nvshmem.so")
                    && line.contains(
                        "-Ddeepep4j.nvshmem.home=" + directory + ": no lib/libnvshmem_host.so.3")
                    && line.contains("docs/cluster.md"));
  }

  @Test
  void shouldSayWhyItDoesNotLoad_whenTheFilesAreNoLibraries() throws Exception {
    Path lib = Files.createDirectories(directory.resolve("lib"));
    for (Path file :
        List.of(
            lib.resolve("libnvshmem_host.so.3"),
            directory.resolve("libep4j_nvshmem.so"),
            directory.resolve("libjniep4j_nvshmem.so"))) {
      Files.writeString(file, "not a library");
    }
    List<String> lines =
        probe("-Ddeepep4j.native.dir=" + directory, "-Ddeepep4j.nvshmem.home=" + directory);
    assertThat(lines)
        .filteredOn(line -> line.startsWith("sizes "))
        .hasSize(2)
        .allMatch(line -> line.contains("libnvshmem_host.so.3: "));
  }

  /**
   * Beside libep4j.so in one process, over the same class files. Where the build has found no
   * NVSHMEM there is no such library, and that is what must be said.
   */
  @Test
  @Tag("native")
  void shouldLoadBesideTheOtherLibrary_whenItWasBuilt() throws Exception {
    Path library = Path.of("target", "native", "libep4j_nvshmem.so").toAbsolutePath();
    Path out = directory.resolve("home.txt");
    Process script =
        new ProcessBuilder("scripts/nvshmem-home.sh")
            .redirectError(ProcessBuilder.Redirect.DISCARD)
            .redirectOutput(out.toFile())
            .start();
    assertThat(script.waitFor(60, TimeUnit.SECONDS)).isTrue();
    String home = Files.readString(out).strip();
    List<String> lines =
        probe(
            "-Ddeepep4j.nvshmem.library=" + library,
            "-Ddeepep4j.nvshmem.home=" + (home.isEmpty() ? directory : home));
    if (Files.exists(library)) {
      assertThat(lines).filteredOn("sizes differ"::equals).hasSize(2);
      assertThat(lines)
          .anyMatch(line -> line.startsWith("findings ") && line.contains(library + ", "));
    } else {
      assertThat(lines)
          .filteredOn(line -> line.startsWith("sizes "))
          .hasSize(2)
          .allMatch(line -> line.contains(library + ": no such file"));
    }
  }
}
