package io.github.deepep4j.internal.memory;

import static java.lang.invoke.MethodType.methodType;

import java.io.IOException;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.reflect.Array;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.MappedByteBuffer;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import org.jspecify.annotations.Nullable;

/**
 * Raw access up to JDK 21, by {@code sun.misc.Unsafe}. The class is found by reflection: naming it
 * in source is a compiler warning that nothing suppresses.
 */
final class UnsafeAccess implements RawAccess {
  private static final MethodHandles.Lookup LOOKUP = MethodHandles.lookup();

  /** The JDK's private code for a shared, writable mapping. */
  private static final int MAP_RW = 1;

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

  @Override
  public Memory map(FileChannel channel, long bytes)
      throws IOException, ReflectiveOperationException {
    if (bytes > Integer.MAX_VALUE) {
      return mapLarge(channel, bytes);
    }
    MappedByteBuffer buffer = channel.map(MapMode.READ_WRITE, 0, bytes);
    Method clean = type.getMethod("invokeCleaner", ByteBuffer.class);
    // The release keeps the buffer reachable, so that nothing unmaps it earlier.
    return Memory.adopt(
        OffHeap.addressOf(buffer), bytes, () -> unmap(() -> clean.invoke(unsafe, buffer)));
  }

  /**
   * No public method of JDK 17 to 21 maps more than 2 GiB at once, and two mappings are not
   * contiguous. The private one behind {@code FileChannel.map} takes any size and is the same in
   * all of these; private lookup is the only key to it that needs no flag on the command line.
   */
  private Memory mapLarge(FileChannel channel, long bytes)
      throws IOException, ReflectiveOperationException {
    Class<?> mapper = Class.forName("sun.nio.ch.FileChannelImpl");
    Class<?> unmapper = Class.forName("sun.nio.ch.FileChannelImpl$Unmapper");
    MethodHandles.Lookup trusted = trustedLookup();
    MethodHandle map =
        trusted.findVirtual(
            mapper,
            "mapInternal",
            methodType(unmapper, MapMode.class, long.class, long.class, int.class, boolean.class));
    MethodHandle address = trusted.findVirtual(unmapper, "address", methodType(long.class));
    MethodHandle unmap = trusted.findVirtual(unmapper, "unmap", methodType(void.class));
    try {
      Object mapping =
          map.invokeWithArguments(channel, MapMode.READ_WRITE, 0L, bytes, MAP_RW, false);
      if (mapping == null) {
        throw new ClosedChannelException();
      }
      return Memory.adopt(
          (long) address.invokeWithArguments(mapping),
          bytes,
          () -> unmap(() -> unmap.invokeWithArguments(mapping)));
    } catch (IOException | RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new IOException("mapping " + bytes + " bytes failed", e);
    }
  }

  private MethodHandles.Lookup trustedLookup() throws ReflectiveOperationException {
    Field trusted = MethodHandles.Lookup.class.getDeclaredField("IMPL_LOOKUP");
    Object base = type.getMethod("staticFieldBase", Field.class).invoke(unsafe, trusted);
    Object offset = type.getMethod("staticFieldOffset", Field.class).invoke(unsafe, trusted);
    return (MethodHandles.Lookup)
        type.getMethod("getObject", Object.class, long.class).invoke(unsafe, base, offset);
  }

  /** A release that may throw anything. */
  @FunctionalInterface
  private interface Unmap {
    @Nullable Object run() throws Throwable;
  }

  private static void unmap(Unmap unmap) {
    try {
      unmap.run();
    } catch (Throwable e) {
      throw OffHeap.unexpected(e);
    }
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
