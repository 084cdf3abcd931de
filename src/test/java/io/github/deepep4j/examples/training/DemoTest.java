package io.github.deepep4j.examples.training;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.deepep4j.examples.Quickstart;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The demo from its command line to its exit status, and the quickstart. */
@Tag("backend-choice")
final class DemoTest {
  private final ByteArrayOutputStream out = new ByteArrayOutputStream();
  private final ByteArrayOutputStream err = new ByteArrayOutputStream();

  private int run(String... args) {
    return Demo.run(args, stream(out), stream(err));
  }

  private static PrintStream stream(ByteArrayOutputStream bytes) {
    return new PrintStream(bytes, true, StandardCharsets.UTF_8);
  }

  private String text(ByteArrayOutputStream bytes) {
    return bytes.toString(StandardCharsets.UTF_8);
  }

  @Test
  void shouldTrainCompareAndReport_whenSmall(@TempDir Path directory) throws IOException {
    Path source = Files.writeString(directory.resolve("text"), TestText.of(6000) + "<&>");
    Path report = directory.resolve("report");
    List<String> args = new ArrayList<>(List.of("--text", source.toString()));
    args.addAll(List.of("--report", report.toString(), "--progress", "bar"));
    args.addAll(
        Arrays.asList(
            "--ranks 2 --experts 4 --hidden 16 --inner 16 --steps 60 --tokens 64 --sample 40"
                .split(" ")));

    int status = run(args.toArray(String[]::new));

    assertThat(text(err)).isEmpty();
    assertThat(status).isZero();
    assertThat(text(out)).contains("EP=1 and EP=2 agree bit for bit", "step 60/60", "tokens/s");
    String page = Files.readString(report.resolve("index.html"));
    assertThat(page).contains("src=\"loss.png\"", "src=\"expert-load.png\"", "agree bit for bit");
    for (String name : List.of("loss.png", "expert-load.png")) {
      BufferedImage image = ImageIO.read(report.resolve(name).toFile());
      assertThat(image.getWidth()).as(name).isGreaterThan(600);
    }
    assertThat(lossFall()).as("fall of the loss in %%").isGreaterThan(33);
  }

  /** From {@code loss 3.1 -> 1.2 nats per character (-61 %) in 60 steps}. */
  private int lossFall() {
    String line = text(out).lines().filter(l -> l.startsWith("loss")).findFirst().orElseThrow();
    return Integer.parseInt(line.replaceAll(".*\\(-(\\d+) %\\).*", "$1"));
  }

  @Test
  void shouldEndWith2AndNameTheFault_whenArgumentsAreBad() {
    assertThat(run("--experts", "7")).isEqualTo(2);
    assertThat(text(err)).isEqualTo("demo: --experts must be a multiple of the ranks 4: 7\n");
    assertThat(text(out)).isEmpty();
  }

  @Test
  void shouldEndWith2AndNameTheFile_whenThereIsNone() {
    assertThat(run("--text", "no/such/file")).isEqualTo(2);
    assertThat(text(err)).contains("no/such/file");
  }

  @Test
  void shouldListEveryOption_whenAskedForHelp() {
    assertThat(run("--help")).isZero();
    assertThat(text(out)).contains("--ranks", "--text", "4096", "--processes", "--backend");
  }

  @Test
  void shouldPrintOneRightChecksumPerRank_whenQuickstart() {
    PrintStream before = System.out;
    System.setOut(stream(out));
    try {
      Quickstart.main(new String[0]);
    } finally {
      System.setOut(before);
    }
    assertThat(text(out).lines())
        .containsExactlyInAnyOrder(
            "rank 0: 288.0 (expected 288.0)",
            "rank 1: 288.0 (expected 288.0)",
            "rank 2: 288.0 (expected 288.0)",
            "rank 3: 288.0 (expected 288.0)");
  }
}
