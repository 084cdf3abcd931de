// What the library's host code uses of NVSHMEM, over network.cpp.
#pragma once

#include <cstddef>

struct nvshmemx_uniqueid_t {
  char bytes[128];
};
struct nvshmemx_init_attr_t {
  int rank;
  int ranks;
  const nvshmemx_uniqueid_t* id;
};
constexpr nvshmemx_uniqueid_t NVSHMEMX_UNIQUEID_INITIALIZER = {};
constexpr nvshmemx_init_attr_t NVSHMEMX_INIT_ATTR_INITIALIZER = {};
constexpr unsigned NVSHMEMX_INIT_WITH_UNIQUEID = 8;

int nvshmemx_get_uniqueid(nvshmemx_uniqueid_t* id);
int nvshmemx_set_attr_uniqueid_args(int rank, int ranks, const nvshmemx_uniqueid_t* id,
                                    nvshmemx_init_attr_t* attributes);
int nvshmemx_hostlib_init_attr(unsigned flags, nvshmemx_init_attr_t* attributes);
int nvshmemx_init_attr(unsigned flags, nvshmemx_init_attr_t* attributes);
void nvshmemx_vendor_get_version_info(int* major, int* minor, int* patch);
int nvshmem_my_pe();
int nvshmem_n_pes();
void* nvshmem_align(size_t alignment, size_t bytes);
void nvshmem_free(void* address);
void* nvshmem_ptr(const void* address, int pe);
void nvshmem_finalize();
void nvshmemx_hostlib_finalize();
