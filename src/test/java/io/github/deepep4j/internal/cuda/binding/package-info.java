/** What Java knows of the C ABI, against the header and, where it was built, the library. */
@NullMarked
package io.github.deepep4j.internal.cuda.binding;

import org.jspecify.annotations.NullMarked;
