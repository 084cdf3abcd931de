package io.github.deepep4j.internal.cuda.binding;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.bytedeco.javacpp.annotation.MemberGetter;
import org.bytedeco.javacpp.annotation.Name;
import org.junit.jupiter.api.Test;

/** Java's picture of the C ABI is the header's: a changed header fails here, without a compiler. */
final class AbiHeaderTest {
  private static final List<Shape> SHAPES =
      List.of(
          DeviceInfo.SHAPE,
          LinkInfo.SHAPE,
          BufferConfig.SHAPE,
          BufferMemory.SHAPE,
          RegionForm.SHAPE,
          DispatchCall.SHAPE,
          DispatchAddresses.SHAPE,
          Counts.SHAPE,
          CombineCall.SHAPE,
          CombineReceiveCall.SHAPE,
          LowLatencyConfig.SHAPE,
          LowLatencyDispatchCall.SHAPE,
          LowLatencyAddresses.SHAPE,
          LowLatencyCombineCall.SHAPE,
          LayoutCall.SHAPE,
          LayoutVerdict.SHAPE,
          CopyCall.SHAPE,
          ErrorRecord.SHAPE,
          RowCopyCall.SHAPE,
          HostWords.SHAPE,
          Standing.SHAPE,
          InternodeConfig.SHAPE,
          NetworkTraffic.SHAPE,
          WelcomeCall.SHAPE);

  @Test
  void shouldHaveTheHeadersMembersAndOffsets_whenAnyStruct() throws Exception {
    requireSame("ep4j.h", SHAPES);
    requireSame(
        "ep4j_nvshmem.h", List.of(NvshmemConfig.SHAPE, NvshmemWindow.SHAPE, NvshmemStanding.SHAPE));
  }

  private static void requireSame(String header, List<Shape> shapes) throws Exception {
    Map<String, List<Shape.Member>> structs = AbiHeader.read(header).structs();
    assertThat(shapes.stream().map(Shape::name))
        .containsExactlyInAnyOrderElementsOf(structs.keySet());
    for (Shape shape : shapes) {
      assertThat(shape.members()).as(shape.name()).isEqualTo(structs.get(shape.name()));
    }
  }

  @Test
  void shouldHaveTheHeadersValues_whenAnyConstant() throws Exception {
    Map<String, Integer> header = AbiHeader.read("ep4j.h").constants();
    for (Field constant : Abi.class.getFields()) {
      assertThat(header).containsEntry(constant.getName(), (Integer) constant.get(null));
    }
    assertThat(Abi.class.getFields().length).isGreaterThan(20);
  }

  @Test
  void shouldBindEveryFunctionWithItsParameters_whenAnyFunction() throws Exception {
    assertThat(
            bound(
                Ep4jNative.class,
                InternodeNative.class,
                LowLatencyNative.class,
                MeasuringNative.class))
        .isEqualTo(AbiHeader.read("ep4j.h").functions());
    AbiHeader nvshmem = AbiHeader.read("ep4j_nvshmem.h");
    assertThat(bound(NvshmemNative.class)).isEqualTo(nvshmem.functions());
    assertThat(nvshmem.constants()).containsEntry("NVSHMEM_ID_BYTES", NvshmemNative.ID_BYTES);
  }

  private static Map<String, Integer> bound(Class<?>... bindings) {
    Map<String, Integer> bound = new TreeMap<>();
    for (Class<?> functions : bindings) {
      for (Method method : functions.getDeclaredMethods()) {
        if (Modifier.isNative(method.getModifiers())
            && !method.isAnnotationPresent(MemberGetter.class)) {
          bound.put(method.getAnnotation(Name.class).value()[0], method.getParameterCount());
        }
      }
    }
    return bound;
  }
}
