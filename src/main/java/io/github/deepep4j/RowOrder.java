package io.github.deepep4j;

/** Order and multiplicity of the rows that a normal-mode dispatch delivers. */
public enum RowOrder {
  /**
   * One row per (token, destination rank), sorted by (source rank, source token), however many
   * local experts the token hits there. The form for models that gather per expert themselves.
   */
  RANK_MAJOR,
  /**
   * One row per (token, local expert), sorted by (local expert, source rank, source token), each
   * expert's group starting at a multiple of the alignment. The form for grouped GEMMs; its combine
   * does not depend on the number of ranks.
   */
  EXPERT_MAJOR
}
