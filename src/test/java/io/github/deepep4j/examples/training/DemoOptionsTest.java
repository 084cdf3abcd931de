package io.github.deepep4j.examples.training;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class DemoOptionsTest {
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "--rank 4 | unknown option --rank (see --help)",
        "--ranks | --ranks needs a value: N",
        "--ranks four | --ranks must be an integer: four",
        "--ranks 0 | --ranks must be from 1 to 16: 0",
        "--ranks=17 | --ranks must be from 1 to 16: 17",
        "--experts 18 | --experts must be a multiple of the ranks 4: 18",
        "--hidden 20 | --hidden must be a multiple of 8: 20",
        "--steps 1 | --steps must be from 2 to 1000000: 1",
        "--learning-rate NaN | --learning-rate must be from 1.0E-9 to 1.0: NaN",
        "--learning-rate much | --learning-rate must be a number: much",
        "--backend gpu | --backend must be cpu or cuda: gpu",
        "--progress no | --progress must be bar or lines: no",
        "--processes=yes | --processes takes no value: yes",
        "text.txt | unknown option text.txt (see --help)",
      })
  void shouldNameOptionAndValue_whenBad(String line, String message) {
    assertThatIllegalArgumentException()
        .isThrownBy(() -> new DemoOptions(line.split(" ")))
        .withMessage(message);
  }

  @Test
  void shouldTakeDefaultsAndBothForms_whenGood() {
    DemoOptions options = new DemoOptions("--steps", "20", "--seed=9");
    assertThat(options.ranks()).isEqualTo(4);
    assertThat(options.steps()).isEqualTo(20);
    assertThat(options.seed()).isEqualTo(9);
    assertThat(options.text()).isNull();
    assertThat(options.cuda()).isFalse();
    assertThat(options.shape(90).experts()).isEqualTo(16);
    assertThat(options.shape(90).vocabulary()).isEqualTo(90);
  }
}
