package io.github.deepep4j;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowable;

import io.github.deepep4j.error.BackendUnavailableException;
import io.github.deepep4j.error.EpException;
import io.github.deepep4j.group.LocalGroup;
import io.github.deepep4j.internal.memory.OffHeap;
import io.github.deepep4j.tensor.Device;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Collective creation: agreement on options and backend, sizes before anything is allocated. */
@Tag("backend-choice")
final class BufferCreationTest {
  private static final String PROPERTY = "deepep4j.backend";
  private static final BufferOptions OPTIONS = BufferOptions.of(6, 64, 8).maxTopk(2);

  @AfterEach
  void clearProperty() {
    System.clearProperty(PROPERTY);
  }

  /** Makes a rank's builder complete. */
  private interface Setup {
    void apply(int rank, Buffer.Builder builder);
  }

  private static List<Throwable> outcomes(int size, Setup setup) {
    List<Throwable> thrown = Collections.synchronizedList(new ArrayList<>());
    LocalGroup.run(
        size,
        group -> {
          Buffer.Builder builder = Buffer.builder(group);
          setup.apply(group.rank(), builder);
          Throwable failure = catchThrowable(() -> builder.build().close());
          if (failure != null) {
            thrown.add(failure);
          }
        });
    return thrown;
  }

  static Stream<Arguments> differentOptions() {
    return Stream.of(
        Arguments.of(BufferOptions.of(12, 64, 8).maxTopk(2), "numExperts=6", "numExperts=12"),
        Arguments.of(BufferOptions.of(6, 128, 8).maxTopk(2), "hidden=64", "hidden=128"),
        Arguments.of(BufferOptions.of(6, 64, 9).maxTopk(2), "maxTokensPerRank=8", "Rank=9"),
        Arguments.of(OPTIONS.maxTopk(3), "maxTopk=2", "maxTopk=3"),
        Arguments.of(OPTIONS.expertMajor(), "expertMajor=false", "expertMajor=true"),
        Arguments.of(OPTIONS.lowLatency(), "lowLatency=false", "lowLatency=true"),
        Arguments.of(OPTIONS.normalRegions(3), "normalRegions=2", "normalRegions=3"),
        Arguments.of(OPTIONS.arenaBytes(1 << 20), "normalRegions=2", "normalRegions=64"),
        Arguments.of(OPTIONS.maxScalesPerRow(5), "maxScalesPerRow=1", "maxScalesPerRow=5"),
        Arguments.of(OPTIONS.ranksPerNode(1), "ranksPerNode=all", "ranksPerNode=1"),
        Arguments.of(OPTIONS.stagingRows(5), "stagingRows=default", "stagingRows=5"),
        Arguments.of(OPTIONS.maxExpertAlignment(7), "maxExpertAlignment=128", "Alignment=7"));
  }

  @ParameterizedTest
  @MethodSource("differentOptions")
  void shouldThrowOnAllRanks_whenOptionsDiffer(BufferOptions other, String here, String there) {
    List<Throwable> thrown =
        outcomes(3, (rank, builder) -> builder.options(rank == 1 ? other : OPTIONS));
    assertThat(thrown).hasSize(3);
    for (Throwable failure : thrown) {
      assertThat(failure)
          .isInstanceOf(EpException.class)
          .hasMessageContainingAll("rank 0 has", here, "rank 1 has", there);
      assertThat(((EpException) failure).code()).isEqualTo(EpException.Code.MISMATCH);
    }
  }

  @Test
  void shouldAllow_whenOnlyLocalOptionsDiffer() {
    assertThat(
            outcomes(
                3,
                (rank, builder) ->
                    builder.options(
                        OPTIONS
                            .receiveCapacityRows(20 + rank)
                            .maxOpenHandles(1 + rank)
                            .timeout(java.time.Duration.ofSeconds(10 + rank))
                            .tuning(new TuningConfig(0, 0, 0, rank, 10)))))
        .isEmpty();
  }

  @Test
  void shouldRefuseOnAllRanks_whenExpertsDoNotDivide() {
    List<Throwable> thrown = outcomes(4, (rank, builder) -> builder.options(OPTIONS));
    assertThat(thrown)
        .hasSize(4)
        .allSatisfy(
            failure ->
                assertThat(failure)
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("multiple of the number of ranks: 6 over 4"));
    assertThatIllegalArgumentException()
        .isThrownBy(() -> SizeHint.of(OPTIONS, 4))
        .withMessageContaining("6 over 4");
  }

  @Test
  void shouldRefuseOnAllRanks_whenNodesAreNotAlike() {
    for (int ranksPerNode : new int[] {2, 4}) {
      BufferOptions options = OPTIONS.ranksPerNode(ranksPerNode);
      String rule = "ranksPerNode must divide the number of ranks: " + ranksPerNode + " over 3";
      assertThat(outcomes(3, (rank, builder) -> builder.options(options).device(Device.cpu())))
          .hasSize(3)
          .allSatisfy(
              failure ->
                  assertThat(failure)
                      .isInstanceOf(IllegalArgumentException.class)
                      .hasMessageContaining(rule));
      assertThatIllegalArgumentException()
          .isThrownBy(() -> SizeHint.of(options, 3))
          .withMessageContaining(rule);
    }
  }

  @Test
  void shouldRefuseByName_whenCudaIsAskedForLowLatencyAcrossNodes() {
    BufferOptions options = OPTIONS.ranksPerNode(1).lowLatency();
    assertThat(outcomes(2, (rank, builder) -> builder.options(options).device(Device.cuda(0))))
        .hasSize(2)
        .allSatisfy(
            failure ->
                assertThat(failure)
                    .isInstanceOf(BackendUnavailableException.class)
                    .hasMessageContaining(
                        "lowLatency() with ranksPerNode(1) of 2 ranks is on CUDA for transport"));
    // The automatic choice goes to the CPU instead.
    assertThat(outcomes(2, (rank, builder) -> builder.options(options))).isEmpty();
  }

  @Test
  void shouldSayWhatWasTried_whenCudaIsAskedFor() {
    List<Throwable> thrown =
        outcomes(2, (rank, builder) -> builder.options(OPTIONS).device(Device.cuda(9_000 + rank)));
    assertThat(thrown).hasSize(2);
    for (Throwable failure : thrown) {
      assertThat(failure)
          .isInstanceOf(BackendUnavailableException.class)
          .hasMessageContainingAll("selecting backend CUDA", "tried:");
      assertThat(((BackendUnavailableException) failure).tried()).isNotEmpty();
    }
    // Asked for on one rank only: that rank and the others disagree, and all say so.
    thrown =
        outcomes(
            2,
            (rank, builder) ->
                builder.options(OPTIONS).device(rank == 0 ? Device.cpu() : Device.cuda(9_000)));
    assertThat(thrown)
        .hasSize(2)
        .allSatisfy(f -> assertThat(f).hasMessageContainingAll("backend CPU", "backend CUDA"));
  }

  @Test
  void shouldFollowTheProperty_whenNoDeviceIsAskedFor() {
    System.setProperty(PROPERTY, "cpu");
    assertThat(outcomes(2, (rank, builder) -> builder.options(OPTIONS))).isEmpty();
    System.setProperty(PROPERTY, "cuda");
    boolean cudaWorks =
        Ep4j.availability().stream()
            .anyMatch(status -> status.kind() == Device.Kind.CUDA && status.available());
    assertThat(outcomes(2, (rank, builder) -> builder.options(OPTIONS)))
        .hasSize(cudaWorks ? 0 : 2)
        .allSatisfy(f -> assertThat(f).isInstanceOf(BackendUnavailableException.class));
    assertThat(outcomes(2, (rank, builder) -> builder.options(OPTIONS).device(Device.cpu())))
        .as("a device that is asked for goes before the property")
        .isEmpty();
    System.setProperty(PROPERTY, "tpu");
    assertThat(outcomes(1, (rank, builder) -> builder.options(OPTIONS)))
        .singleElement()
        .satisfies(
            f ->
                assertThat(f)
                    .hasMessageContaining("deepep4j.backend must be one of [cpu, cuda]: tpu"));
  }

  @Test
  void shouldRefuse_whenOptionsAreMissing() {
    try (LocalGroup group = LocalGroup.create(1).get(0)) {
      assertThatIllegalArgumentException()
          .isThrownBy(() -> Buffer.builder(group).build())
          .withMessageContaining("options(...)");
    }
  }

  @Test
  void shouldNotThrow_whenAskedForAvailability() {
    System.setProperty(PROPERTY, "tpu");
    List<Ep4j.BackendStatus> statuses = Ep4j.availability();
    assertThat(statuses).extracting(Ep4j.BackendStatus::kind).contains(Device.Kind.CPU);
    assertThat(statuses).allSatisfy(status -> assertThat(status.detail()).isNotEmpty());
    assertThat(statuses)
        .filteredOn(status -> status.kind() == Device.Kind.CPU)
        .allMatch(Ep4j.BackendStatus::available);
    assertThat(Ep4j.version()).isNotEmpty();
  }

  @Test
  void shouldLogTheChoiceOnce_whenSeveralBuffersAreMade() throws Exception {
    Process process =
        new ProcessBuilder(
                System.getProperty("java.home") + File.separator + "bin" + File.separator + "java",
                "-cp",
                System.getProperty("java.class.path"),
                ThreeBuffers.class.getName())
            .redirectErrorStream(true)
            .start();
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertThat(process.waitFor()).as(output).isZero();
    assertThat(output).containsOnlyOnce("DeepEP4J runs on ");
  }

  /** Makes three buffers one after the other in a JVM of its own. */
  static final class ThreeBuffers {
    private ThreeBuffers() {}

    /** Starts it. */
    public static void main(String[] args) {
      for (int i = 0; i < 3; i++) {
        LocalGroup.run(2, group -> Buffer.create(group, OPTIONS).close());
      }
    }
  }

  @ParameterizedTest
  @MethodSource("sizedOptions")
  void shouldKnowTheSizeBefore_whenAnyConfiguration(BufferOptions options, int numRanks) {
    SizeHint hint = SizeHint.of(options, numRanks);
    long before = OffHeap.liveBytes();
    LocalGroup.run(
        numRanks,
        group -> {
          try (Buffer buffer =
              Buffer.builder(group).options(options).device(Device.cpu()).build()) {
            assertThat(buffer.statistics().windowBytes()).isEqualTo(hint.totalBytes());
            group.barrier();
            assertThat(OffHeap.liveBytes() - before)
                .as("all ranks' windows and nothing else")
                .isEqualTo(numRanks * hint.totalBytes());
            group.barrier();
          }
        });
    assertThat(OffHeap.liveBytes()).isEqualTo(before);
  }

  static Stream<Arguments> sizedOptions() {
    return Stream.of(
        Arguments.of(OPTIONS, 1),
        Arguments.of(OPTIONS.lowLatency().expertMajor(), 3),
        Arguments.of(OPTIONS.lowLatencyOnly(), 2),
        Arguments.of(OPTIONS.arenaBytes(1_000_001), 2),
        Arguments.of(OPTIONS.normalRegions(5).lowLatency().lowLatencyRegions(1), 3),
        // Beyond 2 GiB: never touched, so never really there.
        Arguments.of(BufferOptions.of(8, 7168, 20_000).normalRegions(4), 2));
  }

  @Test
  void shouldSumItsParts_whenConfigurationIsHuge() {
    SizeHint hint = SizeHint.of(BufferOptions.of(256, 7168, 4096).expertMajor().lowLatency(), 8);
    assertThat(hint.totalBytes())
        .isGreaterThan(1L << 36)
        .isEqualTo(
            hint.controlBytes()
                + hint.dispatchBytes()
                + hint.combineBytes()
                + hint.lowLatencyDispatchBytes()
                + hint.lowLatencyCombineBytes());
    // 2 regions of n·M·min(K, 32) rows of BF16 at least.
    assertThat(hint.combineBytes()).isGreaterThan(2L * 8 * 4096 * 8 * 7168 * 2);
    assertThat(hint.toString()).contains("MiB (control");
    assertThatThrownBy(() -> SizeHint.of(OPTIONS, 0)).isInstanceOf(IllegalArgumentException.class);
  }
}
