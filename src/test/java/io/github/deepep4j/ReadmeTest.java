package io.github.deepep4j;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What the README quotes and links to is what the repository has. */
final class ReadmeTest {
  private static final Path ROOT = Path.of("").toAbsolutePath();

  @Test
  void shouldQuoteCompiledCode_whenReadmeShowsJava() throws IOException {
    String readme = Files.readString(ROOT.resolve("README.md"));
    Matcher block = Pattern.compile("```java\n(.*?)```", Pattern.DOTALL).matcher(readme);
    assertThat(block.find()).isTrue();
    List<String> quoted = block.group(1).lines().map(String::strip).toList();
    List<String> source =
        Files.readString(
                ROOT.resolve("src/examples/java/io/github/deepep4j/examples/Quickstart.java"))
            .lines()
            .map(String::strip)
            .toList();
    assertThat(source).containsSequence(quoted);
  }

  @ParameterizedTest
  @ValueSource(strings = {"README.md", "CONTRIBUTING.md", "docs/design.md", "docs/memory-model.md"})
  void shouldLinkToFilesThatExist_whenDocument(String document) throws IOException {
    Path file = ROOT.resolve(document);
    Matcher link = Pattern.compile("\\]\\(([^)#:]+)[^)]*\\)").matcher(Files.readString(file));
    while (link.find()) {
      assertThat(file.resolveSibling(link.group(1))).exists();
    }
  }
}
