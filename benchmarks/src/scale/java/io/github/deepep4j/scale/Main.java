package io.github.deepep4j.scale;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.time.ZoneOffset;

/** Simulates everything and writes the JSON, the plot and the tables. */
public final class Main {
  private Main() {}

  /**
   * Runs.
   *
   * @param args the folder to write to, and the commit
   * @throws IOException if a file can't be written
   */
  public static void main(String[] args) throws IOException {
    if (args.length != 2) {
      System.err.println("usage: FOLDER COMMIT");
      System.exit(2);
    }
    Path folder = Files.createDirectories(Path.of(args[0]));
    String date = LocalDate.now(ZoneOffset.UTC).toString();
    Report report = Report.simulate();
    String tables = Tables.page(report);
    System.out.println(tables);
    String name = date + "_scale-simulation";
    var about = Json.ordered("simulation", true, "date", date, "commit", args[1]);
    Files.writeString(folder.resolve(name + ".json"), Json.document(report, about));
    Files.writeString(folder.resolve(name + ".svg"), ScalePlot.svg(report));
    Files.writeString(folder.resolve(name + ".md"), tables);
    System.out.println("written to " + folder.resolve(name) + ".json, .svg and .md");
  }
}
