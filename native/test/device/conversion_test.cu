// The device's conversion instructions against device/numeric, over all floats.
#include "check.hpp"
#include "device/ptx/convert.cuh"
#include "world.hpp"

namespace ep4j::test {
namespace {

// Counts the floats whose conversions differ, and keeps the least of them.
__global__ void compare(unsigned long long* differ, unsigned int* least) {
  const uint64_t step = uint64_t{gridDim.x} * blockDim.x;
  for (uint64_t bits = uint64_t{blockIdx.x} * blockDim.x + threadIdx.x; bits < uint64_t{1} << 32;
       bits += step) {
    float value = float_of_bits(static_cast<uint32_t>(bits));
    uint32_t e4m3 = ptx::e4m3_pair(value, 1.0f);
    uint32_t bf16 = ptx::bf16_pair(value, 1.0f);
    bool same = e4m3 == (e4m3_from_float(value) | e4m3_from_float(1.0f) << 8) &&
                bf16 == (bf16_from_float(value) | bf16_from_float(1.0f) << 16);
    if (!same) {
      atomicAdd(differ, 1ull);
      atomicMin(least, static_cast<unsigned int>(bits));
    }
  }
}

}  // namespace

void conversion_tests(Suite& suite) {
  suite.run("conversion instructions agree with device/numeric on all floats", [] {
    Arena memory(512);
    auto* differ = reinterpret_cast<unsigned long long*>(memory.take(8));
    auto* least = reinterpret_cast<unsigned int*>(memory.take(4));
    ok(cudaMemset(differ, 0, 8), "clearing");
    ok(cudaMemset(least, 0xFF, 4), "clearing");
    compare<<<1024, 256>>>(differ, least);
    ok(cudaGetLastError(), "launching");
    unsigned long long count = 1;
    unsigned int first = 0;
    ok(cudaMemcpy(&count, differ, 8, cudaMemcpyDeviceToHost), "reading");
    ok(cudaMemcpy(&first, least, 4, cudaMemcpyDeviceToHost), "reading");
    expect(count == 0, count, " floats differ, the first has bits ", first);
  });
}

}  // namespace ep4j::test
