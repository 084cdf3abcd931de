package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.internal.memory.OffHeap;
import io.github.deepep4j.internal.numeric.Fp8Cast;

/**
 * One rank's scratch for a row that is cast on its way out: cast once, stored at any number of
 * places. Kept from call to call.
 */
final class CastRow {
  private final RowCaster caster;
  private short[] row = new short[0];
  private byte[] codes = new byte[0];
  private int[] scaleWords = new int[0];
  private int hidden;
  private int words;

  CastRow(RowCaster caster) {
    this.caster = caster;
  }

  /** Casts the BF16 row at an address. */
  void load(long address, int channels, Fp8Cast.Scaling scaling) {
    if (row.length < channels) {
      row = new short[channels];
      codes = new byte[channels];
      scaleWords = new int[channels / Fp8Cast.GROUP_CHANNELS];
    }
    hidden = channels;
    words = Fp8Cast.scaleWords(channels, scaling);
    OffHeap.copyToArray(address, row, 0, channels);
    caster.castRow(row, channels, scaling, codes, scaleWords);
  }

  /** Stores the loaded row's codes and scales. */
  void store(long rowAddress, long scaleAddress) {
    OffHeap.copyFromArray(codes, 0, rowAddress, hidden);
    OffHeap.copyFromArray(scaleWords, 0, scaleAddress, words);
  }
}
