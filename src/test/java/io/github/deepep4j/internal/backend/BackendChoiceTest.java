package io.github.deepep4j.internal.backend;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.deepep4j.fixtures.ChildJvm;
import java.io.File;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Which backend is chosen where CUDA does not work, and what is said about it. In JVMs of their
 * own, because a process decides once whether it has the native library; and with an explicit
 * directory that has none, so that they see the same on every machine.
 */
@Tag("backend-choice")
final class BackendChoiceTest {
  @TempDir private Path directory;

  private List<String> probe(String classPath, String... options) throws Exception {
    List<String> all = new ArrayList<>(List.of("-Ddeepep4j.native.dir=" + directory));
    all.addAll(List.of(options));
    return ChildJvm.run(classPath, BackendProbe.class.getName(), directory.resolve("out.txt"), all);
  }

  private static String classPath() {
    return System.getProperty("java.class.path");
  }

  @Test
  void shouldListEachPlaceAndFallBackWithOneLine_whenThereIsNoLibrary() throws Exception {
    List<String> lines = probe(classPath());
    String place = "-Ddeepep4j.native.dir=" + directory;
    assertThat(lines).anyMatch(line -> line.startsWith("CPU true"));
    assertThat(lines)
        .anyMatch(line -> line.startsWith("CUDA false") && line.contains(place + ": "));
    assertThat(lines)
        .filteredOn(line -> line.startsWith("memory "))
        .hasSize(2)
        .allMatch(line -> line.contains(place) && line.contains("libep4j.so"));
    assertThat(lines)
        .filteredOn(line -> line.startsWith("explicit "))
        .hasSize(2)
        .allMatch(line -> line.contains("BACKEND_UNAVAILABLE") && line.contains(place))
        .anyMatch(line -> line.contains("Use Device.cpu()"));
    assertThat(lines).filteredOn("automatic cpu"::equals).hasSize(2);
    assertThat(lines)
        .filteredOn(line -> line.contains("DeepEP4J runs on the CPU backend"))
        .singleElement()
        .asString()
        .contains("CUDA on rank 0")
        .contains(place);
  }

  @Test
  void shouldSayWhatIsMissing_whenJavaCppIsNotOnTheClassPath() throws Exception {
    String without =
        Arrays.stream(classPath().split(File.pathSeparator, -1))
            .filter(entry -> !entry.contains("javacpp"))
            .collect(Collectors.joining(File.pathSeparator));
    assertThat(without).isNotEqualTo(classPath());
    List<String> lines = probe(without);
    assertThat(lines)
        .anyMatch(line -> line.startsWith("CUDA false") && line.contains("-Ddeepep4j.native.dir="));
    assertThat(lines).filteredOn("automatic cpu"::equals).hasSize(2);
  }

  @Test
  void shouldTakeTheProperty_whenItSaysCpu() throws Exception {
    List<String> lines = probe(classPath(), "-Ddeepep4j.backend=cpu");
    assertThat(lines).filteredOn("automatic cpu"::equals).hasSize(2);
    assertThat(lines).noneMatch(line -> line.contains("DeepEP4J runs on"));
  }

  @Test
  void shouldFailLoudly_whenThePropertyAsksForCudaOrForNothingKnown() throws Exception {
    assertThat(probe(classPath(), "-Ddeepep4j.backend=cuda"))
        .filteredOn(line -> line.startsWith("automatic "))
        .hasSize(2)
        .allMatch(line -> line.contains("BACKEND_UNAVAILABLE"));
    assertThat(probe(classPath(), "-Ddeepep4j.backend=tpu"))
        .filteredOn(line -> line.startsWith("automatic "))
        .hasSize(2)
        .allMatch(line -> line.contains("must be one of [cpu, cuda]: tpu"));
  }
}
