package io.github.deepep4j;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.base.DescribedPredicate;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.NullMarked;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Which package may know which: public API → internal.backend → internal.cpu | internal.nvshmem →
 * internal.cuda → internal.cuda.binding. The packages error, group and tensor are leaves,
 * internal.memory and internal.numeric are what everything internal may stand on, and nothing
 * imports upward.
 */
final class ArchitectureTest {
  private static final String ROOT = "io.github.deepep4j";

  private final JavaClasses classes =
      new ClassFileImporter()
          .withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS)
          .importPackages(ROOT);

  /** Classes of a package of ours and of the packages below it. */
  private static DescribedPredicate<JavaClass> in(String... packages) {
    List<String> prefixes = Stream.of(packages).map(name -> ROOT + "." + name).toList();
    return DescribedPredicate.describe(
        "in " + prefixes,
        type ->
            prefixes.stream()
                .anyMatch(
                    prefix ->
                        type.getPackageName().equals(prefix)
                            || type.getPackageName().startsWith(prefix + ".")));
  }

  private static DescribedPredicate<JavaClass> ours() {
    return DescribedPredicate.describe(
        "of DeepEP4J", type -> type.getPackageName().startsWith(ROOT));
  }

  @ParameterizedTest
  @CsvSource({
    "error, error",
    "group, group error",
    "tensor, tensor error internal.memory",
    "internal.numeric, internal.numeric",
    "internal.memory, internal.memory group error",
  })
  void shouldKnowOnlyThese_whenALowPackage(String low, String known) {
    classes()
        .that(in(low))
        .should()
        .onlyDependOnClassesThat(DescribedPredicate.not(ours()).or(in(known.split(" "))))
        .allowEmptyShould(true) // some package may still be empty of classes
        .check(classes);
  }

  @ParameterizedTest
  @CsvSource({"internal.cpu, internal.cuda", "internal.cuda, internal.cpu"})
  void shouldNotKnowEachOther_whenBackends(String backend, String other) {
    noClasses()
        .that(in(backend))
        .should()
        .dependOnClassesThat(in(other))
        .allowEmptyShould(true)
        .check(classes);
  }

  @Test
  void shouldReachBackendsOnlyThroughTheirInterface_whenPublicApi() {
    noClasses()
        .that(DescribedPredicate.not(in("internal")))
        .should()
        .dependOnClassesThat(
            in("internal.cpu", "internal.cuda", "internal.numeric", "internal.nvshmem"))
        .check(classes);
  }

  @Test
  void shouldNameJavaCppOnlyInBindingAndInterop_whenAnyClass() {
    noClasses()
        .that(DescribedPredicate.not(in("internal.cuda.binding", "interop")))
        .should()
        .dependOnClassesThat()
        .resideInAPackage("org.bytedeco..")
        .check(classes);
  }

  @Test
  void shouldUseTheVectorApiOnlyWhereItIsCompiledApart_whenAnyClass() {
    noClasses()
        .that(DescribedPredicate.not(in("internal.cpu.vector")))
        .should()
        .dependOnClassesThat()
        .resideInAPackage("jdk.incubator..")
        .check(classes);
    noClasses()
        .that(DescribedPredicate.not(in("internal.cpu.vector")))
        .should()
        .dependOnClassesThat(in("internal.cpu.vector"))
        .check(classes);
  }

  @Test
  void shouldBeNullMarked_whenAnyPackageWithClasses() throws ClassNotFoundException {
    Set<String> packages =
        classes.stream()
            .map(JavaClass::getPackageName)
            .collect(Collectors.toCollection(TreeSet::new));
    assertThat(packages).contains(ROOT + ".error");
    for (String name : packages) {
      Class<?> packageInfo = Class.forName(name + ".package-info");
      assertThat(packageInfo.isAnnotationPresent(NullMarked.class)).as(name).isTrue();
    }
  }
}
