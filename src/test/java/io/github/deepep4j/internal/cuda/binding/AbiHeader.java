package io.github.deepep4j.internal.cuda.binding;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The declarations of a header of {@code native/include}, read as text. */
final class AbiHeader {
  private static final Path INCLUDE = Path.of("native", "include");
  private static final Pattern STRUCT =
      Pattern.compile("typedef struct (\\w+) \\{(.*?)\\} \\w+;", Pattern.DOTALL);
  private static final Pattern ENUM =
      Pattern.compile("typedef enum \\w+ \\{(.*?)\\} \\w+;", Pattern.DOTALL);
  private static final Pattern DEFINE = Pattern.compile("#define EP4J_(\\w+) (\\d+)");
  private static final Pattern CONSTANT = Pattern.compile("EP4J_(\\w+) = (\\d+)");
  private static final Pattern FUNCTION =
      Pattern.compile("EP4J_API (?:const )?\\w+\\*? ?(ep4j_\\w+)\\((.*?)\\);", Pattern.DOTALL);
  private static final Pattern MEMBER =
      Pattern.compile("\\s*(.*?)\\s*\\b(\\w+)(?:\\[(\\w+)\\])?\\s*");

  private final String text;

  private AbiHeader(String text) {
    this.text = text;
  }

  static AbiHeader read(String header) throws IOException {
    String text = Files.readString(INCLUDE.resolve(header));
    return new AbiHeader(
        Pattern.compile("/\\*.*?\\*/", Pattern.DOTALL).matcher(text).replaceAll(""));
  }

  /** Members of each struct that says its size, at the offsets of the C rules. */
  Map<String, List<Shape.Member>> structs() {
    Map<String, List<Shape.Member>> structs = new LinkedHashMap<>();
    Matcher matcher = STRUCT.matcher(text);
    while (matcher.find()) {
      if (matcher.group(2).contains("struct_size")) {
        structs.put(matcher.group(1), members(matcher.group(2)));
      }
    }
    return structs;
  }

  /** Names and values of enum constants and numeric defines, without their prefix. */
  Map<String, Integer> constants() {
    Map<String, Integer> constants = new TreeMap<>();
    Matcher define = DEFINE.matcher(text);
    while (define.find()) {
      constants.put(define.group(1), Integer.valueOf(define.group(2)));
    }
    Matcher body = ENUM.matcher(text);
    while (body.find()) {
      Matcher constant = CONSTANT.matcher(body.group(1));
      while (constant.find()) {
        constants.put(constant.group(1), Integer.valueOf(constant.group(2)));
      }
    }
    return constants;
  }

  /** Each function and how many parameters it has. */
  Map<String, Integer> functions() {
    Map<String, Integer> functions = new TreeMap<>();
    Matcher function = FUNCTION.matcher(text);
    while (function.find()) {
      String parameters = function.group(2).trim();
      functions.put(
          function.group(1), parameters.equals("void") ? 0 : parameters.split(",", -1).length);
    }
    return functions;
  }

  private List<Shape.Member> members(String body) {
    Map<String, Integer> constants = constants();
    List<Shape.Member> members = new ArrayList<>();
    int end = 0;
    for (String declaration : body.split(";", -1)) {
      if (declaration.isBlank()) {
        continue;
      }
      Matcher member = MEMBER.matcher(declaration);
      if (!member.matches()) {
        throw new AssertionError("cannot read the member: " + declaration);
      }
      int bytes = elementBytes(member.group(1));
      int count = member.group(3) == null ? 1 : length(member.group(3), constants);
      int offset = (end + bytes - 1) / bytes * bytes;
      members.add(new Shape.Member(member.group(2), offset, bytes, count));
      end = offset + bytes * count;
    }
    return members;
  }

  /** An array's length: digits, or a constant's name. */
  private static int length(String text, Map<String, Integer> constants) {
    Integer named = constants.get(text.replaceFirst("^EP4J_", ""));
    return named == null ? Integer.parseInt(text) : named;
  }

  private static int elementBytes(String type) {
    if (type.endsWith("*")) {
      return Long.BYTES;
    }
    return switch (type) {
      case "int32_t" -> Integer.BYTES;
      case "int64_t", "uint64_t" -> Long.BYTES;
      case "char", "unsigned char" -> Byte.BYTES;
      default -> throw new AssertionError("no size known for the type " + type);
    };
  }
}
