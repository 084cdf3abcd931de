/**
 * The seam between the public API and the backends. {@code Buffer} checks arguments and lifecycle
 * and hands validated requests down; a backend moves rows and keeps the protocol. A backend names
 * the API's immutable value types (options, streams, events, statistics), never {@code Buffer}, its
 * results or its handles.
 */
@NullMarked
package io.github.deepep4j.internal.backend;

import org.jspecify.annotations.NullMarked;
