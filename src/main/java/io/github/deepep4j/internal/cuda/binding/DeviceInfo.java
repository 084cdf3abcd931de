package io.github.deepep4j.internal.cuda.binding;

import java.nio.charset.StandardCharsets;
import java.util.HexFormat;

/** What the library tells about a device: {@code ep4j_device}. */
public final class DeviceInfo extends NativeStruct {
  static final Shape SHAPE = new Shape("ep4j_device");

  public static final int NAME = SHAPE.bytes("name", 128);
  public static final int UUID = SHAPE.bytes("uuid", 16);
  public static final int COMPUTE_MAJOR = SHAPE.int32("compute_major");
  public static final int COMPUTE_MINOR = SHAPE.int32("compute_minor");
  public static final int NUM_SMS = SHAPE.int32("num_sms");
  public static final int DRIVER_VERSION = SHAPE.int32("driver_version");
  public static final int RUNTIME_VERSION = SHAPE.int32("runtime_version");
  public static final int HAS_BULK_COPY = SHAPE.int32("has_bulk_copy");
  public static final int SHARED_BYTES = SHAPE.int32("shared_bytes");
  public static final int IS_SHARED = SHAPE.int32("is_shared");
  public static final int TOTAL_BYTES = SHAPE.int64("total_bytes");

  /** Makes one, zeroed but for its size. */
  public DeviceInfo() {
    super(SHAPE);
  }

  /** The device's name. */
  public String name() {
    byte[] bytes = getBytes(NAME, 128);
    int end = 0;
    while (end < bytes.length && bytes[end] != 0) {
      end++;
    }
    return new String(bytes, 0, end, StandardCharsets.UTF_8);
  }

  /** The device's UUID in hexadecimal digits. */
  public String uuid() {
    return HexFormat.of().formatHex(getBytes(UUID, 16));
  }
}
