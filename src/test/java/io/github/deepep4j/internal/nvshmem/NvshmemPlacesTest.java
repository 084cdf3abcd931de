package io.github.deepep4j.internal.nvshmem;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Where NVSHMEM is looked for, in directories made for the purpose. */
final class NvshmemPlacesTest {
  private static final String PROPERTY = "deepep4j.test.nvshmem.home";
  private static final String VARIABLE = "TEST_NVSHMEM_HOME";

  @TempDir private Path directory;

  @AfterEach
  void forgetTheProperty() {
    System.clearProperty(PROPERTY);
  }

  /** A directory with the host library below {@code lib}. */
  private Path home(String name) throws IOException {
    Path lib = Files.createDirectories(directory.resolve(name).resolve("lib"));
    Files.createFile(lib.resolve(NvshmemPlaces.HOST_LIBRARY));
    return directory.resolve(name);
  }

  private static Path libraryOf(Path home) {
    return home.resolve("lib").resolve(NvshmemPlaces.HOST_LIBRARY);
  }

  /** A Python as {@code PATH} has it, with the wheel installed. */
  private Path python(String prefix, String packages) throws IOException {
    Path bin = Files.createDirectories(directory.resolve(prefix).resolve("bin"));
    Path python = Files.createFile(bin.resolve("python3"));
    assertThat(python.toFile().setExecutable(true)).isTrue();
    home(prefix + "/lib/python3.12/" + packages + "/nvidia/nvshmem");
    return bin;
  }

  @Test
  void shouldTakeTheProperty_whenTheVariableNamesAnotherOne() throws IOException {
    System.setProperty(PROPERTY, home("named").toString());
    NvshmemPlaces places = new NvshmemPlaces(Map.of(VARIABLE, home("other").toString()));
    assertThat(places.find(PROPERTY, VARIABLE)).isEqualTo(libraryOf(directory.resolve("named")));
  }

  @Test
  void shouldTakeTheVariable_whenAWheelIsThere() throws IOException {
    Path bin = python("venv", "site-packages");
    NvshmemPlaces places =
        new NvshmemPlaces(Map.of(VARIABLE, home("named").toString(), "PATH", bin.toString()));
    assertThat(places.find(PROPERTY, VARIABLE)).isEqualTo(libraryOf(directory.resolve("named")));
  }

  @Test
  void shouldTakeNothingElse_whenANamedPlaceHasNone() throws IOException {
    Path bin = python("venv", "site-packages");
    NvshmemPlaces places =
        new NvshmemPlaces(Map.of(VARIABLE, directory.toString(), "PATH", bin.toString()));
    assertThat(places.find(PROPERTY, VARIABLE)).isNull();
    assertThat(places.isNamed(PROPERTY, VARIABLE)).isTrue();
    assertThat(places.tried())
        .containsExactly(VARIABLE + "=" + directory + ": no lib/libnvshmem_host.so.3");
  }

  @Test
  void shouldFindTheWheel_whenTheFirstPythonOnThePathHasNone() throws IOException {
    Path empty = Files.createDirectories(directory.resolve("empty/bin"));
    Path bin = python("conda", "dist-packages");
    NvshmemPlaces places =
        new NvshmemPlaces(Map.of("PATH", empty + File.pathSeparator + File.pathSeparator + bin));
    assertThat(places.find(PROPERTY, VARIABLE))
        .isEqualTo(
            libraryOf(directory.resolve("conda/lib/python3.12/dist-packages/nvidia/nvshmem")));
  }

  @Test
  void shouldFindTheWheelOfTheUser_whenNoPythonIsOnThePath() throws IOException {
    home("me/.local/lib/python3.11/site-packages/nvidia/nvshmem");
    NvshmemPlaces places = new NvshmemPlaces(Map.of("HOME", directory.resolve("me").toString()));
    assertThat(places.find(PROPERTY, VARIABLE))
        .isEqualTo(
            libraryOf(directory.resolve("me/.local/lib/python3.11/site-packages/nvidia/nvshmem")));
  }

  @Test
  void shouldListEachPlaceAndLeaveItToTheLoader_whenThereIsNone() {
    NvshmemPlaces places =
        new NvshmemPlaces(Map.of("HOME", directory.toString(), "LD_LIBRARY_PATH", "/a:/b"));
    assertThat(places.find(PROPERTY, VARIABLE)).isNull();
    assertThat(places.isNamed(PROPERTY, VARIABLE)).isFalse();
    assertThat(places.tried())
        .containsExactly(
            VARIABLE + ": not set",
            "pip's nvidia-nvshmem-cu13 of the Pythons on PATH: not there",
            "the loader's places, LD_LIBRARY_PATH /a:/b");
  }
}
