package io.github.deepep4j.process;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Which classes the CPU path brings into a JVM, by that JVM's own log. */
@Tag("backend-choice")
final class ClassLoadingTest {
  @TempDir Path temporary;

  @Test
  void shouldLoadNoJavaCppClass_whenTheCpuIsAskedFor() throws IOException, InterruptedException {
    assertThat(classesLoaded(List.of("-Ddeepep4j.backend=cpu")))
        .noneMatch(line -> line.contains("org.bytedeco"))
        .noneMatch(line -> line.startsWith("io.github.deepep4j.internal.cuda.binding."));
  }

  /** Without natives on the class path the choice does not even start JavaCPP's loader. */
  @Test
  void shouldLoadNoJavaCppClass_whenTheChoiceFindsNoNatives()
      throws IOException, InterruptedException {
    List<String> log = classesLoaded(List.of(), "availability");
    if (hasNatives()) {
      assertThat(log).anyMatch(line -> line.startsWith("org.bytedeco.javacpp.Loader "));
    } else {
      assertThat(log).noneMatch(line -> line.contains("org.bytedeco"));
    }
  }

  /** The choice looks for the native library through JavaCPP, which knows no class of CUDA. */
  @Test
  void shouldLoadNoCudaClass_whenTheChoiceIsAutomatic() throws IOException, InterruptedException {
    assertThat(classesLoaded(List.of(), "availability"))
        .noneMatch(line -> line.contains("org.bytedeco.cuda"));
  }

  private static boolean hasNatives() {
    return ClassLoadingTest.class.getResource(
            "/io/github/deepep4j/internal/cuda/binding/linux-x86_64/libjniep4j.so")
        != null;
  }

  /** The class loading log of a JVM that runs every part of the CPU path. */
  private List<String> classesLoaded(List<String> options, String... arguments)
      throws IOException, InterruptedException {
    Path log = temporary.resolve("classes.log");
    Path output = temporary.resolve("output.log");
    List<String> jvmOptions = new ArrayList<>(options);
    jvmOptions.add("-Xlog:class+load=info:file=" + log + ":none");
    List<String> command = RankProcesses.command(CpuPathMain.class, jvmOptions, arguments);
    Process process =
        new ProcessBuilder(command)
            .redirectErrorStream(true)
            .redirectOutput(output.toFile())
            .start();
    try {
      assertThat(process.waitFor(RankProcesses.PATIENCE.toSeconds(), TimeUnit.SECONDS)).isTrue();
    } finally {
      process.destroyForcibly();
    }
    assertThat(process.exitValue()).as(Files.readString(output)).isZero();
    List<String> loaded = Files.readAllLines(log);
    // The log is of the run that it should be of: every part of the path is in it.
    for (String part : List.of("NormalDispatcher", "NormalCombiner", "LowLatencyDispatcher")) {
      assertThat(loaded)
          .anyMatch(line -> line.startsWith("io.github.deepep4j.internal.cpu." + part + " "));
    }
    return loaded;
  }
}
