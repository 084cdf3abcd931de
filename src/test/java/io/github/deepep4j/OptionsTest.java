package io.github.deepep4j;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Device;
import io.github.deepep4j.tensor.Tensor;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Options are values: a setter changes a copy and keeps everything else. */
final class OptionsTest {
  private static final Tensor TENSOR = Tensor.ofAddress(64, DType.BF16, Device.cpu(), null, 1, 1);

  private static final MeasuredTuning TUNING =
      new MeasuredTuning("GPU", 2, 2, TuningConfig.defaults());

  static Stream<Arguments> changes() {
    DispatchOptions dispatch = DispatchOptions.defaults();
    CombineOptions combine = CombineOptions.defaults();
    LowLatencyDispatchOptions fast = LowLatencyDispatchOptions.defaults();
    LowLatencyCombineOptions back = LowLatencyCombineOptions.defaults();
    BufferOptions buffer = BufferOptions.of(8, 64, 4);
    NvshmemOptions nvshmem = NvshmemOptions.defaults();
    NvshmemOptions forced = nvshmem.forceRemote();
    TensorAllocator allocator = Tensor::allocate;
    return Stream.of(
        changed(buffer, buffer.transport(Transport.PEER), "transport=PEER"),
        changed(buffer, buffer.nvshmem(forced), "nvshmem=" + forced),
        changed(nvshmem, nvshmem.serviceLevel(3), "serviceLevel=3"),
        changed(nvshmem, nvshmem.queuePairsPerRank(8), "queuePairsPerRank=8"),
        changed(nvshmem, nvshmem.hcaList("mlx5_0:1"), "hcaList=mlx5_0:1"),
        changed(nvshmem, nvshmem.ibgda(false), "ibgda=false"),
        changed(nvshmem, nvshmem.symmetricHeapBytes(4096), "symmetricHeapBytes=4096"),
        changed(nvshmem, nvshmem.forceRemote(), "isForceRemote=true"),
        changed(dispatch, dispatch.hook(), "isHook=true"),
        changed(dispatch, dispatch.numSms(4), "numSms=4"),
        changed(dispatch, dispatch.timeout(Duration.ofSeconds(3)), "timeout=PT3S"),
        changed(dispatch, dispatch.stream(CpuStream.CPU), "stream=" + CpuStream.CPU),
        changed(dispatch, dispatch.previousEvent(Event.completed()), "previousEvent=INSTANCE"),
        changed(dispatch, dispatch.expertMajor(1), "rowOrder=EXPERT_MAJOR"),
        changed(dispatch, dispatch.expertAlignment(4), "expertAlignment=4"),
        changed(dispatch, dispatch.zeroFill(), "isZeroFill=true"),
        changed(dispatch, dispatch.maxReceivedTokens(7), "isBounded=true", "maxReceivedTokens=7"),
        changed(dispatch, dispatch.quantize(Quantization.UE8M0), "quantization=UE8M0"),
        changed(dispatch, dispatch.scales(TENSOR), "scales=" + TENSOR),
        changed(dispatch, dispatch.into(TENSOR), "into=" + TENSOR),
        changed(dispatch, dispatch.into(TENSOR, TENSOR), "into=" + TENSOR, "scalesInto=" + TENSOR),
        changed(dispatch, dispatch.allocator(allocator), "allocator=" + allocator),
        changed(combine, combine.hook(), "isHook=true"),
        changed(combine, combine.topkWeights(TENSOR), "topkWeights=" + TENSOR),
        changed(combine, combine.bias(TENSOR), "bias0=" + TENSOR),
        changed(combine, combine.bias(TENSOR, TENSOR), "bias0=" + TENSOR, "bias1=" + TENSOR),
        changed(combine, combine.weighted(), "isWeighted=true"),
        changed(combine, combine.into(TENSOR), "into=" + TENSOR),
        changed(fast, fast.quantize(Quantization.PLAIN), "quantization=PLAIN"),
        changed(fast, fast.receiveStats(TENSOR), "receiveStats=" + TENSOR),
        changed(fast, fast.waitNanos(TENSOR), "waitNanos=" + TENSOR),
        changed(back, back.logFmt(), "isLogFmt=true"),
        changed(back, back.into(TENSOR), "into=" + TENSOR),
        changed(buffer, buffer.onTimeout(TimeoutPolicy.MASK), "onTimeout=MASK"),
        changed(buffer, buffer.ranksPerNode(4), "ranksPerNode=4"),
        changed(buffer, buffer.stagingRows(3), "stagingRows=3"),
        changed(buffer, buffer.measuredTuning(TUNING), "measuredTuning=" + TUNING),
        changed(buffer, buffer.maxOpenHandles(3), "maxOpenHandles=3"),
        changed(buffer, buffer.timeout(Duration.ofSeconds(1)), "timeout=PT1S"));
  }

  /** The CPU's stream, under a name that java.util.stream.Stream does not hide. */
  private static final class CpuStream {
    static final io.github.deepep4j.Stream CPU = io.github.deepep4j.Stream.cpu();
  }

  private static Arguments changed(Object before, Object after, String... differences) {
    return Arguments.of(before, after, List.of(differences));
  }

  @ParameterizedTest(name = "{2}")
  @MethodSource("changes")
  void shouldChangeACopyOnly_whenSet(Object before, Object after, List<String> differences)
      throws ReflectiveOperationException {
    assertThat(after).isNotSameAs(before).hasSameClassAs(before);
    List<String> changed = new ArrayList<>(properties(after));
    changed.removeAll(properties(before));
    assertThat(changed).containsExactlyInAnyOrderElementsOf(differences);
    // And the copy keeps it through another change.
    if (after instanceof CallOptions<?> options) {
      assertThat(properties(options.numSms(99)))
          .containsAll(differences.stream().filter(d -> !d.startsWith("numSms")).toList());
    }
  }

  /** All getters' values. */
  private static List<String> properties(Object options) throws ReflectiveOperationException {
    List<String> values = new ArrayList<>();
    for (Method method : options.getClass().getMethods()) {
      if (method.getParameterCount() == 0
          && !Modifier.isStatic(method.getModifiers())
          && method.getDeclaringClass() != Object.class
          && !CallOptions.class.isAssignableFrom(method.getReturnType())
          && method.getReturnType() != options.getClass()
          && !List.of("sharedDescription", "toString").contains(method.getName())) {
        values.add(method.getName() + "=" + method.invoke(options));
      }
    }
    return values;
  }

  @Test
  void shouldForgetTheOther_whenIntoAndAllocatorFollowEachOther() {
    DispatchOptions owned = DispatchOptions.defaults().into(TENSOR, TENSOR);
    DispatchOptions allocated = owned.allocator(Tensor::allocate);
    assertThat(allocated.into()).isNull();
    assertThat(allocated.scalesInto()).isNull();
    assertThat(allocated.into(TENSOR).allocator()).isNull();
    assertThat(CombineOptions.defaults().bias(TENSOR, TENSOR).bias(TENSOR).bias1()).isNull();
  }

  static Stream<Arguments> refusals() {
    NvshmemOptions nvshmem = NvshmemOptions.defaults();
    BufferOptions options = BufferOptions.of(8, 64, 4);
    return Stream.of(
        refusal(() -> BufferOptions.of(0, 64, 4), "numExperts must be >= 1: 0"),
        refusal(() -> BufferOptions.of(8, 12, 4), "multiple of 16 bytes: hidden 12 is 24"),
        refusal(() -> BufferOptions.of(8, 0, 4), "hidden must be >= 8: 0"),
        refusal(() -> BufferOptions.of(8, 64, 0), "maxTokensPerRank must be >= 1: 0"),
        refusal(() -> options.maxTopk(0), "maxTopk must be >= 1: 0"),
        refusal(() -> options.ranksPerNode(0), "ranksPerNode must be >= 1: 0"),
        refusal(() -> options.stagingRows(0), "must be from 1 to maxTokensPerRank 4: 0"),
        refusal(
            () -> options.stagingRows(5), "stagingRows must be from 1 to maxTokensPerRank 4: 5"),
        refusal(() -> options.normalRegions(65), "normalRegions must be <= 64: 65"),
        refusal(() -> options.lowLatencyRegions(0), "lowLatencyRegions must be >= 1: 0"),
        refusal(() -> options.arenaBytes(0), "arenaBytes must be >= 1: 0"),
        refusal(() -> options.maxOpenHandles(0), "maxOpenHandles must be >= 1: 0"),
        refusal(() -> options.receiveCapacityRows(0), "receiveCapacityRows must be >= 1: 0"),
        refusal(() -> options.maxScalesPerRow(0), "maxScalesPerRow must be >= 1: 0"),
        refusal(() -> options.maxExpertAlignment(0), "maxExpertAlignment must be >= 1: 0"),
        refusal(() -> nvshmem.serviceLevel(16), "serviceLevel must be from 0 to 15: 16"),
        refusal(() -> nvshmem.serviceLevel(-1), "serviceLevel must be from 0 to 15: -1"),
        refusal(() -> nvshmem.queuePairsPerRank(0), "queuePairsPerRank must be >= 1: 0"),
        refusal(() -> nvshmem.hcaList(" "), "hcaList must name an adapter, as mlx5_0:1: ' '"),
        refusal(() -> nvshmem.symmetricHeapBytes(0), "symmetricHeapBytes must be >= 1: 0"),
        refusal(() -> options.timeout(Duration.ofMillis(-1)), "timeout must be more than zero"),
        refusal(() -> new TuningConfig(0, 0, 0, -1, 0), "waitSpins must be >= 0: -1"));
  }

  private static Arguments refusal(ThrowingCallable call, String message) {
    return Arguments.of(call, message);
  }

  @ParameterizedTest(name = "{1}")
  @MethodSource("refusals")
  void shouldNameRuleAndValue_whenOutOfRange(ThrowingCallable call, String message) {
    assertThatIllegalArgumentException().isThrownBy(call).withMessageContaining(message);
  }

  @Test
  void shouldNameEveryDifference_whenDescribed() {
    List<String> words =
        Arrays.asList(
            BufferOptions.of(8, 64, 4).lowLatencyOnly().sharedDescription().split(" ", -1));
    assertThat(words).contains("normal=false", "lowLatency=true", "hidden=64", "arena=false");
    assertThat(words).contains("transport=AUTOMATIC", "forceRemote=false");
    assertThat(words).allMatch(word -> word.matches("[a-zA-Z]+=\\S+"));
  }
}
