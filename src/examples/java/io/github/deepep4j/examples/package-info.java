/** The shortest program that does something with DeepEP4J. */
@NullMarked
package io.github.deepep4j.examples;

import org.jspecify.annotations.NullMarked;
