/*
 * What libep4j_nvshmem.so has beyond ep4j.h: buffers whose windows lie in NVSHMEM's symmetric heap,
 * so that a network reaches the peers that loads and stores do not.
 *
 * One rank is one process, and one PE of NVSHMEM; the ranks of a buffer are all PEs, rank r being
 * PE r. Low-latency mode works with every peer; normal mode if all are within reach of loads and
 * stores, or with an ep4j_internode_config if those of each node are. Everything of ep4j.h holds for these buffers, too.
 *
 * NVSHMEM's own calls on the host are collective and have no deadline. So they happen here only:
 * ep4j_nvshmem_start, ep4j_nvshmem_buffer_create, ep4j_buffer_destroy without abandon_window, and
 * ep4j_nvshmem_stop without abandon. The caller first makes sure, by means of its own, that every
 * rank comes. Those that release are given up at a deadline: what they would have freed is left
 * allocated, and no call of NVSHMEM is made in this process any more; a barrier of NVSHMEM may then
 * wait on the device for good, so that whatever waits for the device as a whole would, too. One
 * thread at a time.
 */
#ifndef EP4J_NVSHMEM_H_
#define EP4J_NVSHMEM_H_

#include "ep4j.h"

#ifdef __cplusplus
extern "C" {
#endif

#define EP4J_NVSHMEM_ID_BYTES 128

/* Where the ranks find each other: made by one of them, given to all. */
typedef struct ep4j_nvshmem_id {
  unsigned char bytes[EP4J_NVSHMEM_ID_BYTES];
} ep4j_nvshmem_id;

/*
 * How a process joins. A setting that is not given is left to its variable of the environment; one
 * that is given is put there, for NVSHMEM to read.
 */
typedef struct ep4j_nvshmem_config {
  uint64_t struct_size;
  int32_t device;
  int32_t rank;
  int32_t num_ranks;
  int32_t service_level; /* NVSHMEM_IB_SL: keeps this traffic apart from other; -1: not given */
  int32_t qps_per_rank;  /* NVSHMEM_IBGDA_NUM_RC_PER_PE: queue pairs to each peer; 0: not given */
  int32_t ibgda;         /* NVSHMEM_IB_ENABLE_IBGDA: 1 the GPU rings the adapter's bell, 0 a thread
                            of the host does; -1: not given, then 1 where an adapter is of mlx5 */
  int64_t heap_bytes;    /* NVSHMEM_SYMMETRIC_SIZE; 0: not given */
  int64_t release_timeout_nanos; /* for what releases; > 0 */
  const char* hca_list;          /* NVSHMEM_HCA_LIST: the adapters to use; NULL: not given */
} ep4j_nvshmem_config;

/* One rank's window. */
typedef struct ep4j_nvshmem_window {
  uint64_t struct_size;
  int64_t bytes;        /* equal on all ranks, at least ep4j_nvshmem_window_bytes of each */
  int32_t force_remote; /* 1: also peers within reach are written to as over a network, but for those
                           of the own node; for tests; equal on all ranks */
  int32_t reserved;
} ep4j_nvshmem_window;

/* What this process is to NVSHMEM. */
typedef struct ep4j_nvshmem_standing {
  uint64_t struct_size;
  int32_t running;
  int32_t abandoned; /* given up at a deadline or by the caller: no buffer can be made any more */
  int32_t rank;
  int32_t num_ranks;
  uint64_t abandoned_bytes; /* of windows that were left allocated */
  int32_t version[3];       /* of the NVSHMEM library that is loaded */
  int32_t reserved;
} ep4j_nvshmem_standing;

/* Makes an id; on one rank. */
EP4J_API ep4j_status ep4j_nvshmem_create_id(ep4j_nvshmem_id* id);

/* Joins the others; collective, once per process. Waits for them without a deadline. */
EP4J_API ep4j_status ep4j_nvshmem_start(const ep4j_nvshmem_config* config,
                                        const ep4j_nvshmem_id* id);

/*
 * Leaves; collective, after all buffers were destroyed. With abandon it is local: nothing is
 * called, and what NVSHMEM holds stays until the process ends. EP4J_PENDING if the others did not
 * come within the release timeout; that is abandoning, too.
 */
EP4J_API ep4j_status ep4j_nvshmem_stop(int32_t abandon);

/* Where this process stands. */
EP4J_API ep4j_status ep4j_nvshmem_look(ep4j_nvshmem_standing* standing);

/* Bytes that a buffer's window takes; low_latency may be NULL. Needs no device. */
EP4J_API ep4j_status ep4j_nvshmem_window_bytes(const ep4j_buffer_config* config,
                                               const ep4j_low_latency_config* low_latency,
                                               int64_t* bytes);

/* Makes one rank's end, as ep4j_buffer_create does; collective. */
EP4J_API ep4j_status ep4j_nvshmem_buffer_create(const ep4j_buffer_config* config,
                                                const ep4j_low_latency_config* low_latency,
                                                const ep4j_nvshmem_window* window,
                                                ep4j_buffer** buffer);

/* The same for a buffer whose ranks are of several nodes; internode may be NULL, too. */
EP4J_API ep4j_status ep4j_nvshmem_window_bytes_internode(const ep4j_buffer_config* config,
                                                         const ep4j_low_latency_config* low_latency,
                                                         const ep4j_internode_config* internode,
                                                         int64_t* bytes);
EP4J_API ep4j_status ep4j_nvshmem_buffer_create_internode(
    const ep4j_buffer_config* config, const ep4j_low_latency_config* low_latency,
    const ep4j_internode_config* internode, const ep4j_nvshmem_window* window,
    ep4j_buffer** buffer);

/* Bit r is set if loads and stores reach rank r of a connected buffer, and are used for it. */
EP4J_API ep4j_status ep4j_nvshmem_reached(ep4j_buffer* buffer, uint32_t* ranks);

#ifdef __cplusplus
}
#endif

#endif /* EP4J_NVSHMEM_H_ */
