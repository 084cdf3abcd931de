/** The choice of a backend. */
@NullMarked
package io.github.deepep4j.internal.backend;

import org.jspecify.annotations.NullMarked;
