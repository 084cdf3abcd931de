package io.github.deepep4j.scale;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The page quotes the committed results, and those are what the simulator gives. */
class ScaleReportTest {
  private static final Path PAGE = Path.of("docs/scale.md");
  private static final Path RESULTS = Path.of("benchmarks/results");

  /** The newest committed tables. */
  private static Path tables() throws IOException {
    try (Stream<Path> files = Files.list(RESULTS)) {
      return files
          .filter(file -> file.getFileName().toString().endsWith("_scale-simulation.md"))
          .max(Path::compareTo)
          .orElseThrow();
    }
  }

  @Test
  void shouldQuoteTheCommittedTables_whenThePageShowsFigures() throws IOException {
    Path tables = tables();
    String page = Files.readString(PAGE);
    assertThat(page).contains(Files.readString(tables));
    String name = tables.getFileName().toString().replace(".md", "");
    for (String extension : List.of(".json", ".svg")) {
      assertThat(tables.resolveSibling(name + extension)).exists();
      assertThat(page).contains(name + extension);
    }
  }

  @ParameterizedTest
  @EnumSource(Workload.Operation.class)
  void shouldSimulateWhatIsCommitted_whenRunAgain(Workload.Operation operation) throws IOException {
    Calibration fit = Calibration.fit(operation);
    Machine machine = fit.applyTo(Machines.h100(Machines.ownSmGbs(operation), Report.SMS));
    Workload workload = Workload.standard(operation, 4, Published.MAX_NODES);
    List<String> lines = Tables.rows(List.of(Report.Row.of(machine, workload))).lines().toList();
    assertThat(Files.readAllLines(tables())).contains(lines.get(lines.size() - 1));
  }

  @Test
  void shouldFindTheArgument_whenTheFunctionGrows() {
    assertThat(Calibration.solve(0.25, x -> x * x)).isCloseTo(0.5, within(1e-5));
    assertThat(Calibration.solve(2, x -> x)).as("never reached").isEqualTo(1);
  }

  @Test
  void shouldSaySo_whenAFigureIsMoreThanAFifthOff() {
    Published figure = new Published("figure", 2, 50, 50, true);
    assertThat(check(figure, 60.1).disagrees()).isTrue();
    assertThat(check(figure, 39.9).disagrees()).isTrue();
    assertThat(check(figure, 59.9).disagrees()).isFalse();
    Report report =
        new Report(
            new Calibration(1, 1),
            new Calibration(1, 1),
            List.of(check(figure, 60.1), check(figure, 59)),
            List.of(),
            List.of(),
            List.of());
    assertThat(Tables.page(report))
        .containsOnlyOnce("disagrees by more than 20 %")
        .contains("| 60.1 | +20 % | **disagrees")
        .contains("| 59.0 | +18 % | predicted |");
  }

  private static Report.Check check(Published figure, double simulated) {
    return new Report.Check(figure, Workload.Operation.COMBINE, "H800", simulated, false);
  }
}
