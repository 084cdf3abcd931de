/**
 * Row sums by the incubating Vector API. Compiled apart (see the pom and CONTRIBUTING); main code
 * loads it by name when the module is present.
 */
@NullMarked
package io.github.deepep4j.internal.cpu.vector;

import org.jspecify.annotations.NullMarked;
