package io.github.deepep4j.internal.memory;

import java.lang.invoke.MethodHandle;
import java.nio.ByteOrder;

/**
 * The operations of {@link RawAccess}, found once. Each handle has a {@code static final} field of
 * its own, because only such a handle is a constant for the JIT, which then compiles a call to the
 * bare load or store.
 */
final class RawHandles {
  /** What is needed too rarely for a constant. */
  static final RawAccess ACCESS;

  static final MethodHandle GET_BYTE;
  static final MethodHandle GET_SHORT;
  static final MethodHandle GET_INT;
  static final MethodHandle GET_LONG;
  static final MethodHandle GET_FLOAT;
  static final MethodHandle PUT_BYTE;
  static final MethodHandle PUT_SHORT;
  static final MethodHandle PUT_INT;
  static final MethodHandle PUT_LONG;
  static final MethodHandle PUT_FLOAT;
  static final MethodHandle GET_LONG_ACQUIRE;
  static final MethodHandle PUT_LONG_RELEASE;
  static final MethodHandle COMPARE_AND_SET_LONG;
  static final MethodHandle COPY;
  static final MethodHandle TO_BYTES;
  static final MethodHandle TO_SHORTS;
  static final MethodHandle TO_INTS;
  static final MethodHandle TO_LONGS;
  static final MethodHandle TO_FLOATS;
  static final MethodHandle FROM_BYTES;
  static final MethodHandle FROM_SHORTS;
  static final MethodHandle FROM_INTS;
  static final MethodHandle FROM_LONGS;
  static final MethodHandle FROM_FLOATS;
  static final MethodHandle FILL;
  static final MethodHandle ALLOCATE;
  static final MethodHandle FREE;
  static final MethodHandle ADDRESS_OF;

  static {
    if (ByteOrder.nativeOrder() != ByteOrder.LITTLE_ENDIAN) {
      throw new UnsupportedOperationException("rows are little-endian, this platform is not");
    }
    try {
      RawAccess raw = RawAccess.ofThisJdk();
      ACCESS = raw;
      GET_BYTE = raw.get(byte.class);
      GET_SHORT = raw.get(short.class);
      GET_INT = raw.get(int.class);
      GET_LONG = raw.get(long.class);
      GET_FLOAT = raw.get(float.class);
      PUT_BYTE = raw.put(byte.class);
      PUT_SHORT = raw.put(short.class);
      PUT_INT = raw.put(int.class);
      PUT_LONG = raw.put(long.class);
      PUT_FLOAT = raw.put(float.class);
      GET_LONG_ACQUIRE = raw.getLongAcquire();
      PUT_LONG_RELEASE = raw.putLongRelease();
      COMPARE_AND_SET_LONG = raw.compareAndSetLong();
      COPY = raw.copy();
      TO_BYTES = raw.copyToArray(byte.class);
      TO_SHORTS = raw.copyToArray(short.class);
      TO_INTS = raw.copyToArray(int.class);
      TO_LONGS = raw.copyToArray(long.class);
      TO_FLOATS = raw.copyToArray(float.class);
      FROM_BYTES = raw.copyFromArray(byte.class);
      FROM_SHORTS = raw.copyFromArray(short.class);
      FROM_INTS = raw.copyFromArray(int.class);
      FROM_LONGS = raw.copyFromArray(long.class);
      FROM_FLOATS = raw.copyFromArray(float.class);
      FILL = raw.fill();
      ALLOCATE = raw.allocate();
      FREE = raw.free();
      ADDRESS_OF = raw.addressOf();
    } catch (ReflectiveOperationException e) {
      throw new IllegalStateException(
          "JDK " + Runtime.version() + " lacks an access to raw memory: " + e, e);
    }
  }

  private RawHandles() {}
}
