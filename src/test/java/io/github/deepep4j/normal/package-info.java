/** Normal mode of the backend under test against the oracle, row by row and byte by byte. */
@NullMarked
package io.github.deepep4j.normal;

import org.jspecify.annotations.NullMarked;
