package io.github.deepep4j.examples.training;

import java.io.IOException;
import java.nio.charset.MalformedInputException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeMap;
import java.util.stream.Stream;

/** A text as character numbers, cut into shards of equal length. */
final class Corpus {
  /** Least length of a text in characters. */
  static final int MIN_CHARACTERS = 4096;

  /** Characters that occur too rarely to be among the vocabulary are read as this one. */
  private static final int OTHER = 0xFFFD;

  private static final int MAX_VOCABULARY = 128;

  private final String source;
  private final int[] codes; // the text, as indices into the vocabulary
  private final int[] vocabulary; // code points, ascending
  private final int numShards;

  private Corpus(String source, int[] text, int numShards) {
    this.source = source;
    this.numShards = numShards;
    this.vocabulary = vocabularyOf(text);
    Map<Integer, Integer> indices = new HashMap<>();
    for (int i = 0; i < vocabulary.length; i++) {
      indices.put(vocabulary[i], i);
    }
    Integer other = indices.get(OTHER);
    this.codes = new int[text.length];
    for (int i = 0; i < text.length; i++) {
      Integer code = indices.getOrDefault(text[i], other);
      codes[i] = code == null ? 0 : code;
    }
  }

  /**
   * A corpus of the given text.
   *
   * @throws IllegalArgumentException if it is too short
   */
  static Corpus of(String source, String text, int numShards) {
    int[] characters = text.codePoints().toArray();
    if (characters.length < MIN_CHARACTERS) {
      throw new IllegalArgumentException(
          "a text must have at least "
              + MIN_CHARACTERS
              + " characters, "
              + source
              + " has "
              + characters.length);
    }
    return new Corpus(source, characters, numShards);
  }

  /** The text of one UTF-8 file. */
  static Corpus ofFile(Path file, int numShards) throws IOException {
    return of(file.toString(), read(file), numShards);
  }

  /** This repository's own licence and documentation: LICENSE, *.md and docs/*.md. */
  static Corpus ofRepository(Path root, int numShards) throws IOException {
    List<Path> files = new ArrayList<>();
    Path license = root.resolve("LICENSE");
    if (Files.isRegularFile(license)) {
      files.add(license);
    }
    files.addAll(markdown(root));
    files.addAll(markdown(root.resolve("docs")));
    StringBuilder text = new StringBuilder();
    for (Path file : files) {
      text.append(read(file)).append('\n');
    }
    String names = files.size() + " files of this repository (LICENSE, *.md, docs/*.md)";
    return of(names, text.toString(), numShards);
  }

  private static List<Path> markdown(Path directory) throws IOException {
    if (!Files.isDirectory(directory)) {
      return List.of();
    }
    try (Stream<Path> files = Files.list(directory)) {
      return files
          .filter(file -> file.getFileName().toString().endsWith(".md"))
          .sorted(Comparator.comparing(file -> file.getFileName().toString()))
          .toList();
    }
  }

  private static String read(Path file) throws IOException {
    try {
      return Files.readString(file, StandardCharsets.UTF_8);
    } catch (MalformedInputException e) {
      throw new IllegalArgumentException("not UTF-8 text: " + file, e);
    }
  }

  private static int[] vocabularyOf(int[] text) {
    Map<Integer, Integer> counts = new TreeMap<>();
    for (int character : text) {
      counts.merge(character, 1, Integer::sum);
    }
    if (counts.size() <= MAX_VOCABULARY) {
      return counts.keySet().stream().mapToInt(Integer::intValue).toArray();
    }
    counts.remove(OTHER);
    return Stream.concat(
            counts.entrySet().stream()
                .sorted(Map.Entry.<Integer, Integer>comparingByValue().reversed())
                .limit(MAX_VOCABULARY - 1)
                .map(Map.Entry::getKey),
            Stream.of(OTHER))
        .mapToInt(Integer::intValue)
        .sorted()
        .toArray();
  }

  /** Where the text is from, in words. */
  String source() {
    return source;
  }

  int numCharacters() {
    return codes.length;
  }

  int vocabularySize() {
    return vocabulary.length;
  }

  /** The step's tokens of one rank; they depend on the shard's number, not on the rank's. */
  Batch batch(Shards shards, int context, long seed, int step) {
    int[][] contexts = new int[shards.rows()][];
    int[] targets = new int[shards.rows()];
    for (int s = 0; s < shards.count(); s++) {
      int shard = shards.first() + s;
      long stream = (seed * numShards + shard) * 0x9E3779B97F4A7C15L + step;
      SplittableRandom random = new SplittableRandom(stream);
      for (int r = shards.from(s); r < shards.to(s); r++) {
        int position = random.nextInt(start(shard) + context, start(shard + 1));
        contexts[r] = window(position, context);
        targets[r] = codes[position];
      }
    }
    return new Batch(contexts, targets);
  }

  /** What to start a generation from: of a shard, the first line that starts with a letter. */
  int[] prompt(int shard, int length) {
    int last = start(shard + 1) - length;
    boolean atStart = shard == 0; // of a line, but for blanks
    for (int position = start(shard); position < last; position++) {
      int character = vocabulary[codes[position]];
      if (atStart && Character.isLetter(character)) {
        return window(position + length, length);
      }
      atStart = character == '\n' || (atStart && Character.isWhitespace(character));
    }
    return window(start(shard) + length, length);
  }

  /** The characters of a sequence of indices. */
  String text(int[] indices) {
    StringBuilder text = new StringBuilder();
    for (int index : indices) {
      text.appendCodePoint(vocabulary[index]);
    }
    return text.toString();
  }

  private int start(int shard) {
    return (int) ((long) codes.length * shard / numShards);
  }

  private int[] window(int end, int length) {
    int[] window = new int[length];
    System.arraycopy(codes, end - length, window, 0, length);
    return window;
  }
}
