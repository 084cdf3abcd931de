/** Tests of process groups: one contract for all kinds, and what is particular to each. */
@NullMarked
package io.github.deepep4j.group;

import org.jspecify.annotations.NullMarked;
