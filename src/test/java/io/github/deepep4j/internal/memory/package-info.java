/** Tests of raw memory and shared windows, with a group that works by files in a directory. */
@NullMarked
package io.github.deepep4j.internal.memory;

import org.jspecify.annotations.NullMarked;
