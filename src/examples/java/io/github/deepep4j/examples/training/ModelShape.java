package io.github.deepep4j.examples.training;

/**
 * Sizes of the model.
 *
 * @param vocabulary different characters
 * @param context characters that a prediction sees
 * @param embedding width of a character's embedding
 * @param hidden width of a token's row
 * @param layers Mixture-of-Experts layers
 * @param experts experts of each layer, over all ranks
 * @param inner width inside an expert
 * @param balance weight of the loss that evens out the experts' load
 */
record ModelShape(
    int vocabulary,
    int context,
    int embedding,
    int hidden,
    int layers,
    int experts,
    int inner,
    float balance) {}
