/** Parts of the CPU backend that can be tested without other ranks. */
@NullMarked
package io.github.deepep4j.internal.cpu;

import org.jspecify.annotations.NullMarked;
