// What the library's device code uses of NVSHMEM, over network.cpp.
#pragma once

#include <cstddef>
#include <cstdint>

constexpr int NVSHMEM_SIGNAL_SET = 9;
constexpr int NVSHMEM_SIGNAL_ADD = 10;
constexpr int NVSHMEM_CMP_GE = 3;

void nvshmem_putmem_signal_nbi(void* to, const void* from, size_t bytes, uint64_t* word,
                               uint64_t value, int operation, int pe);
void nvshmemx_putmem_signal_nbi_warp(void* to, const void* from, size_t bytes, uint64_t* word,
                                     uint64_t value, int operation, int pe);
void nvshmemx_signal_op(uint64_t* word, uint64_t value, int operation, int pe);
int nvshmem_uint64_test(uint64_t* word, int comparison, uint64_t value);
