package io.github.deepep4j;

import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.core.domain.JavaClass;
import java.io.File;
import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.GenericArrayType;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.lang.reflect.TypeVariable;
import java.lang.reflect.WildcardType;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/**
 * What users see: public and protected members of the public packages name types of the JDK and of
 * the public packages only. The package interop is there to name others; annotations don't count.
 */
final class PublicApiTest {
  private static final String ROOT = "io.github.deepep4j";

  @Test
  void shouldNameOnlyJdkAndPublicTypes_whenAnyPublicSignature() throws Exception {
    Set<String> strangers = new TreeSet<>();
    List<Class<?>> types = publicTypes();
    assertThat(types).contains(Buffer.class, io.github.deepep4j.tensor.Tensor.class);
    for (Class<?> type : types) {
      for (Type named : signatures(type)) {
        collectStrangers(type.getName(), named, strangers);
      }
    }
    assertThat(strangers).isEmpty();
  }

  @Test
  void shouldFindAStranger_whenThereIsOne() throws NoSuchMethodException {
    Set<String> strangers = new TreeSet<>();
    Method method = PublicApiTest.class.getDeclaredMethod("example");
    collectStrangers("example", method.getGenericReturnType(), strangers);
    assertThat(strangers).containsExactly("example names " + JavaClass.class.getName());
  }

  static List<? extends Set<JavaClass[]>> example() {
    return List.of();
  }

  /** Every class file beside Buffer's, which are the library's own and no test's. */
  private static List<Class<?>> publicTypes() throws Exception {
    Path root = Path.of(Buffer.class.getProtectionDomain().getCodeSource().getLocation().toURI());
    List<Class<?>> types = new ArrayList<>();
    try (Stream<Path> files = Files.walk(root.resolve(ROOT.replace('.', '/')))) {
      for (Path file : files.filter(f -> f.toString().endsWith(".class")).toList()) {
        String path = root.relativize(file).toString();
        String name = path.substring(0, path.length() - 6).replace(File.separatorChar, '.');
        if (isPublicPackage(name) && !name.startsWith(ROOT + ".interop.")) {
          Class<?> type = Class.forName(name, false, PublicApiTest.class.getClassLoader());
          if (isVisible(type)) {
            types.add(type);
          }
        }
      }
    }
    return types;
  }

  private static boolean isPublicPackage(String name) {
    return !name.startsWith(ROOT + ".internal") && !name.startsWith(ROOT + ".examples");
  }

  /** Public itself and in what encloses it. */
  private static boolean isVisible(Class<?> type) {
    for (Class<?> c = type; c != null; c = c.getEnclosingClass()) {
      if (!isSeen(c.getModifiers())) {
        return false;
      }
    }
    return true;
  }

  private static boolean isSeen(int modifiers) {
    return Modifier.isPublic(modifiers) || Modifier.isProtected(modifiers);
  }

  private static List<Type> signatures(Class<?> type) {
    List<Type> named = new ArrayList<>();
    if (type.getGenericSuperclass() != null && isSeen(type.getSuperclass().getModifiers())) {
      named.add(type.getGenericSuperclass());
    }
    named.addAll(List.of(type.getGenericInterfaces()));
    named.addAll(List.of(type.getTypeParameters()));
    for (Field field : type.getDeclaredFields()) {
      if (isSeen(field.getModifiers())) {
        named.add(field.getGenericType());
      }
    }
    for (Constructor<?> constructor : type.getDeclaredConstructors()) {
      if (isSeen(constructor.getModifiers())) {
        named.addAll(List.of(constructor.getGenericParameterTypes()));
        named.addAll(List.of(constructor.getGenericExceptionTypes()));
      }
    }
    for (Method method : type.getDeclaredMethods()) {
      if (isSeen(method.getModifiers()) && !method.isSynthetic()) {
        named.add(method.getGenericReturnType());
        named.addAll(List.of(method.getGenericParameterTypes()));
        named.addAll(List.of(method.getGenericExceptionTypes()));
      }
    }
    return named;
  }

  private static void collectStrangers(String where, Type named, Set<String> strangers) {
    if (named instanceof Class<?> type) {
      Class<?> element = type;
      while (element.isArray()) {
        element = element.getComponentType();
      }
      String name = element.getName();
      boolean own = name.startsWith(ROOT + ".") && isPublicPackage(element.getPackageName());
      if (!element.isPrimitive() && !name.startsWith("java.") && !own) {
        strangers.add(where + " names " + name);
      }
    } else if (named instanceof ParameterizedType generic) {
      collectStrangers(where, generic.getRawType(), strangers);
      List.of(generic.getActualTypeArguments())
          .forEach(argument -> collectStrangers(where, argument, strangers));
    } else if (named instanceof GenericArrayType array) {
      collectStrangers(where, array.getGenericComponentType(), strangers);
    } else if (named instanceof WildcardType wildcard) {
      List.of(wildcard.getUpperBounds())
          .forEach(bound -> collectStrangers(where, bound, strangers));
      List.of(wildcard.getLowerBounds())
          .forEach(bound -> collectStrangers(where, bound, strangers));
    } else if (named instanceof TypeVariable<?> variable
        && !variable.getBounds()[0].getTypeName().contains(variable.getName() + ">")) {
      List.of(variable.getBounds()).forEach(bound -> collectStrangers(where, bound, strangers));
    }
  }
}
