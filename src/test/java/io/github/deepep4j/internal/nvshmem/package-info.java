/** Tests of finding and loading NVSHMEM. */
@NullMarked
package io.github.deepep4j.internal.nvshmem;

import org.jspecify.annotations.NullMarked;
