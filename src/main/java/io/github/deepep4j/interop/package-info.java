/**
 * Adapters to the types of the JavaCPP Presets for CUDA, for code that has its own streams, events
 * and device memory there. The only package whose signatures name JavaCPP; it needs {@code
 * org.bytedeco:cuda} on the class path, which the rest of the library does not.
 */
@NullMarked
package io.github.deepep4j.interop;

import org.jspecify.annotations.NullMarked;
