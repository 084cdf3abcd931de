// Numbers against references that are obvious: nearest neighbours by search, and doubles.
#include <cmath>
#include <cstring>
#include <vector>

#include "check.hpp"
#include "device/numeric/bf16.hpp"
#include "device/numeric/e4m3.hpp"
#include "device/numeric/fp8_scale.hpp"

namespace ep4j::test {
namespace {

// The value of a non-negative E4M3 code below NaN, from the definition of the format.
double e4m3_value(int code) {
  int exponent = code >> 3;
  int fraction = code & 7;
  return exponent == 0 ? std::ldexp(fraction, -9) : std::ldexp(8 + fraction, exponent - 10);
}

// The nearest code by search, ties to the even one.
uint32_t nearest_e4m3(float value) {
  if (std::isnan(value)) {
    return 0x7F;
  }
  double magnitude = std::fabs(static_cast<double>(value));
  int best = 0x7E;
  if (magnitude < 448) {
    best = 0;
    for (int code = 1; code <= 0x7E; code++) {
      double gap = std::fabs(e4m3_value(code) - magnitude);
      double best_gap = std::fabs(e4m3_value(best) - magnitude);
      if (gap < best_gap || (gap == best_gap && code % 2 == 0)) {
        best = code;
      }
    }
  }
  return static_cast<uint32_t>(best) | (std::signbit(value) ? 0x80 : 0);
}

void expect_e4m3(uint32_t bits) {
  float value = float_of_bits(bits);
  uint32_t code = e4m3_from_float(value);
  expect(code == nearest_e4m3(value), "float ", bits, " gives code ", code, " instead of ",
         nearest_e4m3(value));
}

// Rounds by looking at both neighbours in double.
uint32_t nearest_bf16(uint32_t bits) {
  float value = float_of_bits(bits);
  if (std::isnan(value)) {
    return 0x7FFF;
  }
  if (std::isinf(value)) {
    return bits >> 16;
  }
  uint32_t down = bits >> 16;
  uint32_t up = down + 1;
  double exact = std::fabs(static_cast<double>(value));
  double low = std::fabs(static_cast<double>(float_of_bits(down << 16)));
  // Past the largest finite value the next step would be 2^128.
  double high = (up & 0x7FFF) == 0x7F80 ? std::ldexp(1.0, 128)
                                        : std::fabs(static_cast<double>(float_of_bits(up << 16)));
  if (exact - low == high - exact) {
    return down % 2 == 0 ? down : up;
  }
  return exact - low < high - exact ? down : up;
}

void expect_bf16(uint32_t bits) {
  uint32_t rounded = bf16_from_float(float_of_bits(bits));
  expect(rounded == nearest_bf16(bits), "float ", bits, " gives ", rounded, " instead of ",
         nearest_bf16(bits));
}

void expect_scale(float amax, int cast, uint32_t expected) {
  Fp8Scale scale = fp8_scale(bf16_from_float(amax), cast);
  expect(scale.bits == expected, "amax ", amax, ", cast ", cast, ": scale ",
         float_of_bits(scale.bits), " instead of ", float_of_bits(expected));
}

// semantics.md, section 6.1, to the digits that are printed there.
void scale_table() {
  struct Row {
    float amax;
    float plain;
    int exponent;  // biased, of the rounded scale
  };
  const Row rows[] = {{0.0f, 2.2321429e-7f, 105},  {0.5f, 0.00111607143f, 118},
                      {1.0f, 0.00223214286f, 119}, {3.0f, 0.00669642857f, 120},
                      {100.0f, 0.223214286f, 125}, {448.0f, 1.0f, 127},
                      {896.0f, 2.0f, 128}};
  for (const Row& row : rows) {
    float plain = float_of_bits(fp8_scale(bf16_from_float(row.amax), EP4J_CAST_PLAIN).bits);
    expect(std::fabs(plain - row.plain) <= row.plain * 1e-7f, "amax ", row.amax, ": ", plain);
    expect_scale(row.amax, EP4J_CAST_ROUNDED, static_cast<uint32_t>(row.exponent) << 23);
    expect_scale(row.amax, EP4J_CAST_UE8M0, static_cast<uint32_t>(row.exponent) << 23);
  }
}

// For every BF16 amax: a rounded scale is the least power of two not below the plain one, and
// multiplying by its inverse keeps the group in range.
void rounded_scales() {
  for (uint32_t amax = 0; amax < kBf16Infinity; amax++) {
    Fp8Scale plain = fp8_scale(amax, EP4J_CAST_PLAIN);
    Fp8Scale rounded = fp8_scale(amax, EP4J_CAST_ROUNDED);
    double plain_value = float_of_bits(plain.bits);
    double value = float_of_bits(rounded.bits);
    int exponent;
    expect(std::frexp(value, &exponent) == 0.5, "amax bits ", amax, ": no power of two: ", value);
    expect(value >= plain_value && value / 2 < plain_value, "amax bits ", amax, ": ", value,
           " for ", plain_value);
    expect(rounded.multiplier * value == 1.0, "amax bits ", amax, ": multiplier ",
           rounded.multiplier);
    float largest = bf16_to_float(amax);
    expect(std::fabs(static_cast<double>(largest) * plain.multiplier) <= 448.0001, "amax bits ",
           amax, " leaves the range");
  }
  expect(fp8_scale(kBf16Infinity, EP4J_CAST_PLAIN).is_infinite, "an infinity has no scale");
}

}  // namespace

void numeric_tests(Suite& suite) {
  suite.run("E4M3 of every BF16 value is the nearest code", [] {
    for (uint32_t high = 0; high < 1 << 16; high++) {
      expect_e4m3(high << 16);
    }
  });
  suite.run("E4M3 at every midpoint and one float beside it", [] {
    for (int code = 0; code < 0x7E; code++) {
      float middle = static_cast<float>((e4m3_value(code) + e4m3_value(code + 1)) / 2);
      uint32_t bits = bits_of_float(middle);
      for (uint32_t near : {bits - 1, bits, bits + 1}) {
        expect_e4m3(near);
        expect_e4m3(near | 0x80000000);
      }
    }
  });
  suite.run("E4M3 of a grid of all floats", [] {
    for (uint64_t bits = 0; bits < uint64_t{1} << 32; bits += 9973) {
      expect_e4m3(static_cast<uint32_t>(bits));
    }
  });
  suite.run("BF16 gives back every BF16 value", [] {
    for (uint32_t bf16 = 0; bf16 < 1 << 16; bf16++) {
      bool nan = (bf16 & 0x7FFF) > 0x7F80;
      expect(bf16_from_float(bf16_to_float(bf16)) == (nan ? 0x7FFF : bf16), "BF16 ", bf16);
    }
  });
  suite.run("BF16 around every midpoint", [] {
    for (uint64_t high = 0; high < 1 << 16; high++) {
      for (uint32_t low : {0u, 1u, 0x7FFFu, 0x8000u, 0x8001u, 0xFFFFu}) {
        expect_bf16(static_cast<uint32_t>(high << 16) | low);
      }
    }
  });
  suite.run("scales of the specification's table", scale_table);
  suite.run("rounded scales of every BF16 amax", rounded_scales);
  suite.run("scale words per row", [] {
    expect(fp8_scale_words(7168, EP4J_CAST_PLAIN) == 56, "56 groups");
    expect(fp8_scale_words(7168, EP4J_CAST_UE8M0) == 14, "14 packs");
    expect(fp8_scale_words(640, EP4J_CAST_UE8M0) == 2, "5 groups in 2 packs");
  });
}

}  // namespace ep4j::test
