/**
 * The oracle: a second implementation of what the backends compute, from all ranks' inputs at once,
 * sequential, slow and obvious, in plain Java arrays. It shares no code with main: its number
 * formats are its own.
 */
@NullMarked
package io.github.deepep4j.reference;

import org.jspecify.annotations.NullMarked;
