// LogFMT-10: a value as a sign and a 9-bit code on a logarithmic scale, one range per 128 channels
// (semantics.md, section 6.3). Logarithms of BF16 magnitudes are exact to double precision: the
// exponent plus one of 256 tabulated logarithms of the significand.
#pragma once

#include <cmath>

#include "device/numeric/bf16.hpp"

namespace ep4j {

constexpr int kLogFmtCodeBits = 9;
constexpr uint32_t kLogFmtCodeMask = (1u << kLogFmtCodeBits) - 1;
constexpr int kLogFmtSteps = 510;            // between the codes of min and max, 1 and 511
constexpr double kLogFmtWidestRange = 32;    // powers of two; what is smaller becomes zero
constexpr int kLogFmtBlockChannels = 16;     // that one block packs
constexpr int kLogFmtBlockWords = 5;         // 16 codes of 9 bits, then 16 signs
constexpr int kBf16Significands = 256;       // with the implicit bit
constexpr uint32_t kBf16One = 0x3F80;

// log2 of a BF16 magnitude; table[s] = log2(s / 128), -infinity for 0. A subnormal has exponent 1
// and no implicit bit.
EP4J_HOST_DEVICE inline double log2_magnitude(uint32_t magnitude, const double* table) {
  const uint32_t exponent = magnitude >> 7;
  const uint32_t fraction = magnitude & 0x7F;
  const uint32_t significand = exponent == 0 ? fraction : fraction | 0x80;
  return table[significand] + (static_cast<double>(exponent == 0 ? 1 : exponent) - 127);
}

// How one group's values become codes: floor(log2|x| * codes_per_octave + shift).
struct LogFmtEncoding {
  double codes_per_octave;
  double shift;

  EP4J_HOST_DEVICE LogFmtEncoding(uint32_t amax, uint32_t amin, const double* table) {
    const double log_max = log2_magnitude(amax, table);
    const double least = log_max - kLogFmtWidestRange;
    double log_min = log2_magnitude(amin, table);
    log_min = log_min > least ? log_min : least;
    const double step = (log_max - log_min) / kLogFmtSteps;
    codes_per_octave = 1 / step;
    // The boundary between two codes is the middle of their values, not of their logarithms.
    const double midpoint = log2((1 + exp2(step)) / 2);
    shift = 2 - (midpoint + log_min) * codes_per_octave;
  }

  EP4J_HOST_DEVICE uint32_t code(uint32_t magnitude, const double* table) const {
    const double position = log2_magnitude(magnitude, table) * codes_per_octave + shift;
    return position > 0 ? static_cast<uint32_t>(position) : 0;  // the cast is floor
  }
};

// How one group's codes become values: 2^(code * step + log_zero). The exponent is summed in two
// float32 parts, because its rounding alone would move one BF16 sum in a thousand.
struct LogFmtDecoding {
  float step;
  float step_rest;
  float log_zero;  // where code 0 would be, were it not zero; never above 0
  float log_zero_rest;

  EP4J_HOST_DEVICE LogFmtDecoding(uint32_t amax, uint32_t amin, const double* table) {
    const double log_max = log2_magnitude(amax, table);
    const double least = log_max - kLogFmtWidestRange;
    double log_min = log2_magnitude(amin, table);
    log_min = log_min > least ? log_min : least;
    const double exact_step = (log_max - log_min) * (1.0 / kLogFmtSteps);
    const double exact_zero = log_min - exact_step;
    step = static_cast<float>(exact_step);
    step_rest = static_cast<float>(exact_step - step);
    log_zero = static_cast<float>(exact_zero);
    log_zero_rest = static_cast<float>(exact_zero - log_zero);
  }

  EP4J_HOST_DEVICE float value(uint32_t code, bool negative) const {
    constexpr float kLn2 = 0.693147181f;
    const float count = static_cast<float>(code);
    const float product = count * step;
    const float exponent = log_zero + product;
    // What the two roundings left out, exactly: |log_zero| >= |product|.
    const float rest = (product - (exponent - log_zero)) + fmaf(count, step, -product) +
                       fmaf(count, step_rest, log_zero_rest);
    const float power = exp2f(exponent);
    const float magnitude = code == 0 ? 0.0f : fmaf(power * kLn2, rest, power);
    return negative ? -magnitude : magnitude;
  }
};

}  // namespace ep4j
