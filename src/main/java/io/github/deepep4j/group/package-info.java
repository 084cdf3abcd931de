/**
 * Bootstrap of an expert-parallel group: who the ranks are, and small collective exchanges between
 * them. The data path never goes through a group.
 */
@NullMarked
package io.github.deepep4j.group;

import org.jspecify.annotations.NullMarked;
