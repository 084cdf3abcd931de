package io.github.deepep4j.internal.memory;

import static java.lang.invoke.MethodType.methodType;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.reflect.Array;
import java.lang.reflect.Field;
import java.nio.Buffer;
import java.nio.ByteBuffer;

/**
 * Raw access up to JDK 21, by {@code sun.misc.Unsafe}. The class is found by reflection: naming it
 * in source is a compiler warning that nothing suppresses.
 */
final class UnsafeAccess implements RawAccess {
  private static final MethodHandles.Lookup LOOKUP = MethodHandles.lookup();

  private final Class<?> type;
  private final Object unsafe;

  UnsafeAccess() throws ReflectiveOperationException {
    type = Class.forName("sun.misc.Unsafe");
    Field instance = type.getDeclaredField("theUnsafe");
    instance.setAccessible(true);
    unsafe = instance.get(null);
  }

  /**
   * A method of {@code Unsafe}, bound to its instance.
   *
   * @param name the method's name
   * @param signature its type
   * @return the handle
   * @throws ReflectiveOperationException if there is no such method
   */
  MethodHandle method(String name, MethodType signature) throws ReflectiveOperationException {
    return LOOKUP.findVirtual(type, name, signature).bindTo(unsafe);
  }

  @Override
  public MethodHandle get(Class<?> value) throws ReflectiveOperationException {
    return method("get" + capitalised(value), methodType(value, long.class));
  }

  @Override
  public MethodHandle put(Class<?> value) throws ReflectiveOperationException {
    return method("put" + capitalised(value), methodType(void.class, long.class, value));
  }

  @Override
  public MethodHandle getLongAcquire() throws ReflectiveOperationException {
    // Volatile is stronger than acquire and the same instruction on x86 and Arm.
    return atAddress("getLongVolatile", methodType(long.class, Object.class, long.class));
  }

  @Override
  public MethodHandle putLongRelease() throws ReflectiveOperationException {
    return atAddress(
        "putOrderedLong", methodType(void.class, Object.class, long.class, long.class));
  }

  @Override
  public MethodHandle compareAndSetLong() throws ReflectiveOperationException {
    return atAddress(
        "compareAndSwapLong",
        methodType(boolean.class, Object.class, long.class, long.class, long.class));
  }

  @Override
  public MethodHandle copy() throws ReflectiveOperationException {
    return method("copyMemory", methodType(void.class, long.class, long.class, long.class));
  }

  @Override
  public MethodHandle copyToArray(Class<?> element) throws ReflectiveOperationException {
    // copyMemory(null, from, array, arrayOffset, bytes)
    MethodHandle copy = MethodHandles.insertArguments(copyBetweenObjects(), 0, (Object) null);
    copy = MethodHandles.filterArguments(copy, 2, arrayOffset(element));
    return MethodHandles.filterArguments(copy, 3, byteCount(element));
  }

  @Override
  public MethodHandle copyFromArray(Class<?> element) throws ReflectiveOperationException {
    // copyMemory(array, arrayOffset, null, to, bytes)
    MethodHandle copy = MethodHandles.insertArguments(copyBetweenObjects(), 2, (Object) null);
    copy = MethodHandles.filterArguments(copy, 1, arrayOffset(element));
    return MethodHandles.filterArguments(copy, 3, byteCount(element));
  }

  @Override
  public MethodHandle fill() throws ReflectiveOperationException {
    return method("setMemory", methodType(void.class, long.class, long.class, byte.class));
  }

  @Override
  public MethodHandle allocate() throws ReflectiveOperationException {
    return method("allocateMemory", methodType(long.class, long.class));
  }

  @Override
  public MethodHandle free() throws ReflectiveOperationException {
    return method("freeMemory", methodType(void.class, long.class));
  }

  @Override
  public MethodHandle addressOf() throws ReflectiveOperationException {
    Object offset =
        type.getMethod("objectFieldOffset", Field.class)
            .invoke(unsafe, Buffer.class.getDeclaredField("address"));
    MethodHandle base =
        MethodHandles.insertArguments(
                method("getLong", methodType(long.class, Object.class, long.class)), 1, offset)
            .asType(methodType(long.class, ByteBuffer.class));
    MethodHandle position =
        LOOKUP
            .findVirtual(ByteBuffer.class, "position", methodType(int.class))
            .asType(methodType(long.class, ByteBuffer.class));
    // (a, b) → base(a) + position(b), then both from one buffer.
    MethodHandle sum =
        MethodHandles.filterArguments(
            LOOKUP.findStatic(Long.class, "sum", methodType(long.class, long.class, long.class)),
            0,
            base,
            position);
    return MethodHandles.permuteArguments(sum, methodType(long.class, ByteBuffer.class), 0, 0);
  }

  private MethodHandle atAddress(String name, MethodType signature)
      throws ReflectiveOperationException {
    return MethodHandles.insertArguments(method(name, signature), 0, (Object) null);
  }

  private MethodHandle copyBetweenObjects() throws ReflectiveOperationException {
    return method(
        "copyMemory",
        methodType(void.class, Object.class, long.class, Object.class, long.class, long.class));
  }

  /** {@code (int index) → long}: the offset of an element in its array. */
  private MethodHandle arrayOffset(Class<?> element) throws ReflectiveOperationException {
    return scaled(
        arrayConstant("arrayBaseOffset", element), arrayConstant("arrayIndexScale", element));
  }

  /** {@code (int count) → long}: the bytes of so many elements. */
  private MethodHandle byteCount(Class<?> element) throws ReflectiveOperationException {
    return scaled(0, arrayConstant("arrayIndexScale", element));
  }

  private int arrayConstant(String name, Class<?> element) throws ReflectiveOperationException {
    Object value =
        type.getMethod(name, Class.class).invoke(unsafe, Array.newInstance(element, 0).getClass());
    return (int) value;
  }

  private static MethodHandle scaled(int base, int scale) throws ReflectiveOperationException {
    MethodHandle linear =
        LOOKUP.findStatic(
            UnsafeAccess.class,
            "linear",
            methodType(long.class, long.class, long.class, int.class));
    return MethodHandles.insertArguments(linear, 0, (long) base, (long) scale);
  }

  /** Found by name, for {@link #scaled}. */
  static long linear(long base, long scale, int n) {
    return base + scale * n;
  }

  private static String capitalised(Class<?> primitive) {
    String name = primitive.getName();
    return Character.toUpperCase(name.charAt(0)) + name.substring(1);
  }
}
