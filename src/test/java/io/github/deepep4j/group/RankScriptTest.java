package io.github.deepep4j.group;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** {@code scripts/rank.sh}: what other launchers say, in the words of this library. */
final class RankScriptTest {
  private static final long PATIENCE_SECONDS = 60;

  private static List<String> run(String variables) throws IOException, InterruptedException {
    String script = "echo \"$RANK $WORLD_SIZE $LOCAL_RANK $MASTER_ADDR $MASTER_PORT\"";
    ProcessBuilder builder =
        new ProcessBuilder("bash", "scripts/rank.sh", "bash", "-c", script)
            .redirectErrorStream(true);
    builder
        .environment()
        .keySet()
        .removeIf(
            name ->
                name.matches(
                    "RANK|WORLD_SIZE|LOCAL_RANK|MASTER_.*|SLURM_.*|OMPI_.*|PMI_.*|JOB_COMPLETION_INDEX"));
    for (String variable : variables.split(" ", -1)) {
      int equals = variable.indexOf('=');
      builder.environment().put(variable.substring(0, equals), variable.substring(equals + 1));
    }
    Process process = builder.start();
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertThat(process.waitFor(PATIENCE_SECONDS, TimeUnit.SECONDS)).isTrue();
    return output.lines().toList();
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "SLURM_PROCID=3 SLURM_NTASKS=8 SLURM_LOCALID=1 SLURM_JOB_ID=1234567"
            + " SLURM_JOB_NODELIST=gpu[03-05,9]-ib,x1 | 3 8 1 gpu03-ib 24567",
        "SLURM_PROCID=0 SLURM_NTASKS=2 SLURM_LOCALID=0 SLURM_STEP_NODELIST=a1,b[2-3] | 0 2 0 a1 20000",
        "SLURM_PROCID=1 SLURM_NTASKS=2 SLURM_LOCALID=1 SLURM_STEP_NODELIST=a MASTER_ADDR=ib0.a"
            + " MASTER_PORT=77 | 1 2 1 ib0.a 77",
        "OMPI_COMM_WORLD_RANK=5 OMPI_COMM_WORLD_SIZE=8 OMPI_COMM_WORLD_LOCAL_RANK=1 MASTER_ADDR=h"
            + " | 5 8 1 h 29500",
        "PMI_RANK=5 PMI_SIZE=8 MPI_LOCALRANKID=2 MASTER_ADDR=h | 5 8 2 h 29500",
        "JOB_COMPLETION_INDEX=1 WORLD_SIZE=4 MASTER_ADDR=job-0.job | 1 4 0 job-0.job 29500",
        "RANK=2 WORLD_SIZE=4 MASTER_ADDR=h | 2 4 2 h 29500",
      })
  void shouldTellTheRankWhoItIs_whenALauncherDoes(String variables, String told) throws Exception {
    assertThat(run(variables)).containsExactly(told);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2 | MASTER_ADDR",
        "JOB_COMPLETION_INDEX=1 MASTER_ADDR=h          | WORLD_SIZE",
        "WORLD_SIZE=2                                  | RANK",
      })
  void shouldNameWhatIsMissing_whenALauncherDoesNotTellIt(String variables, String name)
      throws Exception {
    assertThat(run(variables))
        .containsExactly("rank.sh: " + name + " must be set: this launcher does not tell it");
  }
}
