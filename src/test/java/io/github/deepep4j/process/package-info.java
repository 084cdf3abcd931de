/** Tests whose ranks are JVMs of their own: what threads of one JVM can't show. */
@NullMarked
package io.github.deepep4j.process;

import org.jspecify.annotations.NullMarked;
