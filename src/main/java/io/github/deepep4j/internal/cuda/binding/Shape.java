package io.github.deepep4j.internal.cuda.binding;

import java.util.ArrayList;
import java.util.List;

/**
 * Offsets of a C struct's members by the rules of the x86-64 and AArch64 C ABIs: in order, each at
 * a multiple of its element's size. Declared member by member as the header has them.
 */
final class Shape {
  /**
   * A member.
   *
   * @param name as in the header
   * @param offset in bytes
   * @param elementBytes 1, 4 or 8
   * @param count elements, 1 for a scalar
   */
  record Member(String name, int offset, int elementBytes, int count) {}

  private final String name;
  private final List<Member> members = new ArrayList<>();
  private int end;

  /**
   * Starts a struct, with its {@code struct_size}.
   *
   * @param name as in the header
   */
  Shape(String name) {
    this.name = name;
    int64("struct_size");
  }

  int int32(String member) {
    return place(member, Integer.BYTES, 1);
  }

  int int64(String member) {
    return place(member, Long.BYTES, 1);
  }

  int pointer(String member) {
    return place(member, Long.BYTES, 1);
  }

  int bytes(String member, int count) {
    return place(member, Byte.BYTES, count);
  }

  int int32s(String member, int count) {
    return place(member, Integer.BYTES, count);
  }

  int longs(String member, int count) {
    return place(member, Long.BYTES, count);
  }

  String name() {
    return name;
  }

  List<Member> members() {
    return List.copyOf(members);
  }

  /** {@code sizeof}: the end, at a multiple of the largest alignment. */
  int size() {
    return align(end, Long.BYTES);
  }

  private int place(String member, int elementBytes, int count) {
    int offset = align(end, elementBytes);
    members.add(new Member(member, offset, elementBytes, count));
    end = offset + elementBytes * count;
    return offset;
  }

  private static int align(int offset, int alignment) {
    return (offset + alignment - 1) / alignment * alignment;
  }
}
