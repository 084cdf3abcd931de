/**
 * Expert-parallel training of a small character-level Mixture-of-Experts model, in plain Java: what
 * {@code scripts/demo.sh} runs.
 *
 * <p>Where to start reading: {@link MoeLayer} is the part that talks to DeepEP4J. Its forward is
 * dispatch, experts, combine; its backward sends the gradient over the same routing, held by a
 * {@code DispatchHandle} from the one to the other. Everything else would look the same without
 * expert parallelism:
 *
 * <pre>
 *   Corpus     text, cut into one shard per rank
 *   CharModel  embedding, MoeBlock ..., head          (replicated on each rank, but for the experts)
 *     MoeBlock   x + MoeLayer(RmsNorm(x)), routed by a TopTwoGate
 *       MoeLayer   the experts of this rank, and the rows' way to and from all experts
 *   Trainer    one rank's loop: forward, backward, DenseGradients over the group, Adam
 *   Demo       n ranks, then 1 rank over the same shards; sample, charts, agreement of the two
 * </pre>
 *
 * <p><b>Why n ranks and 1 rank agree bit for bit.</b> Floating-point sums depend on their order, so
 * every sum over tokens has one order that does not depend on n:
 *
 * <ul>
 *   <li>A rank's tokens are its shards' tokens, one shard after another. With the rows of an expert
 *       in (source rank, source token) order, an expert sees all tokens in (shard, token) order
 *       whatever n is, and sums its weights' gradients in that order.
 *   <li>The output of combine is the sum over a token's two experts, slot 0 first: it does not
 *       depend on where they live.
 *   <li>Gradients of the replicated weights, and the loss, are summed inside each shard, exchanged,
 *       and then added in shard order on every rank.
 *   <li>Java's float arithmetic is exact to the bit everywhere; functions that are not (exp) come
 *       from {@link StrictMath}.
 * </ul>
 */
@NullMarked
package io.github.deepep4j.examples.training;

import org.jspecify.annotations.NullMarked;
