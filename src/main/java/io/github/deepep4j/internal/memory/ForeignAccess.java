package io.github.deepep4j.internal.memory;

import static java.lang.invoke.MethodType.methodType;

import java.io.IOException;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.lang.invoke.VarHandle.AccessMode;
import java.lang.reflect.Array;
import java.lang.reflect.InvocationTargetException;
import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.util.Locale;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Raw access from JDK 22 on, by {@code java.lang.foreign}, found by reflection because this source
 * is compiled for 17. All loads and stores go through one segment that starts at address 0 and
 * covers everything, so an offset in it is an address.
 *
 * <p>Memory comes from C's {@code malloc}, not from an {@code Arena}: an arena zeroes what it hands
 * out, counts it against {@code -XX:MaxDirectMemorySize} (by default the Java heap's size) and, if
 * shared, stops all threads to close.
 */
final class ForeignAccess implements RawAccess {
  private static final MethodHandles.Lookup LOOKUP = MethodHandles.lookup();

  private final Class<?> segmentType = foreign("MemorySegment");
  private final Class<?> layoutType = foreign("ValueLayout");
  private final Object everything;

  ForeignAccess() throws ReflectiveOperationException {
    Object nothing = segmentType.getField("NULL").get(null);
    everything = segmentType.getMethod("reinterpret", long.class).invoke(nothing, Long.MAX_VALUE);
  }

  @Override
  public MethodHandle get(Class<?> value) throws ReflectiveOperationException {
    return access(layout(value), AccessMode.GET);
  }

  @Override
  public MethodHandle put(Class<?> value) throws ReflectiveOperationException {
    return access(layout(value), AccessMode.SET);
  }

  @Override
  public MethodHandle getLongAcquire() throws ReflectiveOperationException {
    return access(alignedLong(), AccessMode.GET_ACQUIRE);
  }

  @Override
  public MethodHandle putLongRelease() throws ReflectiveOperationException {
    return access(alignedLong(), AccessMode.SET_RELEASE);
  }

  @Override
  public MethodHandle compareAndSetLong() throws ReflectiveOperationException {
    return access(alignedLong(), AccessMode.COMPARE_AND_SET);
  }

  @Override
  public MethodHandle copy() throws ReflectiveOperationException {
    MethodHandle copy =
        LOOKUP.findStatic(
            segmentType,
            "copy",
            methodType(void.class, segmentType, long.class, segmentType, long.class, long.class));
    return MethodHandles.insertArguments(
        MethodHandles.insertArguments(copy, 2, everything), 0, everything);
  }

  @Override
  public MethodHandle copyToArray(Class<?> element) throws ReflectiveOperationException {
    MethodHandle copy =
        LOOKUP.findStatic(
            segmentType,
            "copy",
            methodType(
                void.class,
                segmentType,
                layoutType,
                long.class,
                Object.class,
                int.class,
                int.class));
    return MethodHandles.insertArguments(copy, 0, everything, layout(element));
  }

  @Override
  public MethodHandle copyFromArray(Class<?> element) throws ReflectiveOperationException {
    MethodHandle copy =
        LOOKUP.findStatic(
            segmentType,
            "copy",
            methodType(
                void.class,
                Object.class,
                int.class,
                segmentType,
                layoutType,
                long.class,
                int.class));
    return MethodHandles.insertArguments(copy, 2, everything, layout(element));
  }

  @Override
  public MethodHandle fill() throws ReflectiveOperationException {
    MethodHandle slice =
        LOOKUP
            .findVirtual(segmentType, "asSlice", methodType(segmentType, long.class, long.class))
            .bindTo(everything);
    MethodHandle fill =
        LOOKUP.findVirtual(segmentType, "fill", methodType(segmentType, byte.class));
    return MethodHandles.collectArguments(fill, 0, slice)
        .asType(methodType(void.class, long.class, long.class, byte.class));
  }

  @Override
  public MethodHandle allocate() throws ReflectiveOperationException {
    return libraryFunction("malloc", long.class);
  }

  @Override
  public MethodHandle free() throws ReflectiveOperationException {
    return libraryFunction("free", null);
  }

  @Override
  public MethodHandle addressOf() throws ReflectiveOperationException {
    MethodHandle ofBuffer =
        LOOKUP.findStatic(segmentType, "ofBuffer", methodType(segmentType, Buffer.class));
    MethodHandle address = LOOKUP.findVirtual(segmentType, "address", methodType(long.class));
    return MethodHandles.filterReturnValue(ofBuffer, address)
        .asType(methodType(long.class, ByteBuffer.class));
  }

  @Override
  public Memory map(FileChannel channel, long bytes)
      throws IOException, ReflectiveOperationException {
    Class<?> arenaType = foreign("Arena");
    // Shared, because the thread that closes is not always the one that has opened.
    AutoCloseable arena = (AutoCloseable) arenaType.getMethod("ofShared").invoke(null);
    try {
      Object segment =
          FileChannel.class
              .getMethod("map", MapMode.class, long.class, long.class, arenaType)
              .invoke(channel, MapMode.READ_WRITE, 0L, bytes, arena);
      long address = (long) segmentType.getMethod("address").invoke(segment);
      return Memory.adopt(address, bytes, () -> unmap(arena));
    } catch (ReflectiveOperationException e) {
      unmap(arena);
      if (e instanceof InvocationTargetException && e.getCause() instanceof IOException cause) {
        throw cause;
      }
      throw e;
    }
  }

  private static void unmap(AutoCloseable arena) {
    try {
      arena.close();
    } catch (Exception e) {
      throw OffHeap.unexpected(e);
    }
  }

  private MethodHandle access(Object layout, AccessMode mode) throws ReflectiveOperationException {
    VarHandle handle = (VarHandle) layoutType.getMethod("varHandle").invoke(layout);
    return handle.toMethodHandle(mode).bindTo(everything);
  }

  private Object layout(Class<?> value) throws ReflectiveOperationException {
    String name = "JAVA_" + value.getName().toUpperCase(Locale.ROOT);
    return layoutType.getField(value == byte.class ? name : name + "_UNALIGNED").get(null);
  }

  private Object alignedLong() throws ReflectiveOperationException {
    return layoutType.getField("JAVA_LONG").get(null);
  }

  /** A C function {@code (int64) → int64}, or {@code (int64) → void} if {@code result} is null. */
  private MethodHandle libraryFunction(String name, @Nullable Class<?> result)
      throws ReflectiveOperationException {
    Class<?> linkerType = foreign("Linker");
    Class<?> descriptorType = foreign("FunctionDescriptor");
    Class<?> memoryLayout = foreign("MemoryLayout");
    Class<?> optionType = foreign("Linker$Option");
    Object word = layoutType.getField("JAVA_LONG").get(null);
    Object oneWord = Array.newInstance(memoryLayout, 1);
    Array.set(oneWord, 0, word);
    Object descriptor =
        result == null
            ? descriptorType.getMethod("ofVoid", oneWord.getClass()).invoke(null, oneWord)
            : descriptorType
                .getMethod("of", memoryLayout, oneWord.getClass())
                .invoke(null, word, oneWord);
    Object linker = linkerType.getMethod("nativeLinker").invoke(null);
    Object library = linkerType.getMethod("defaultLookup").invoke(linker);
    Optional<?> symbol =
        (Optional<?>) foreign("SymbolLookup").getMethod("find", String.class).invoke(library, name);
    Object noOptions = Array.newInstance(optionType, 0);
    return (MethodHandle)
        linkerType
            .getMethod("downcallHandle", segmentType, descriptorType, noOptions.getClass())
            .invoke(
                linker,
                symbol.orElseThrow(() -> new NoSuchMethodException("no C function " + name)),
                descriptor,
                noOptions);
  }

  private static Class<?> foreign(String name) {
    try {
      return Class.forName("java.lang.foreign." + name);
    } catch (ClassNotFoundException e) {
      throw new IllegalStateException("JDK " + Runtime.version() + " has no " + name, e);
    }
  }
}
