/*
 * DeepEP4J's native library: one rank's end of an expert-parallel buffer on a CUDA device.
 *
 * A buffer owns one window of device memory that its peers can address, and issues kernels on the
 * caller's streams. It allocates nothing after ep4j_buffer_create, never waits for the device
 * except in functions that say so, and decides nothing that the caller can decide on the host: the
 * caller chooses free regions, outputs and handles (small integers), and keeps the rules that need
 * knowledge of its own objects.
 *
 * Conventions
 *  - C99; no C++, CUDA or JNI type. Device addresses are void*, streams are cudaStream_t as void*.
 *  - Every struct starts with struct_size, set by the caller to sizeof(the struct). A library that
 *    knows a longer struct refuses a shorter one by name.
 *  - Every function returns a status; ep4j_last_error() has the text of this thread's last failure.
 *  - One thread at a time uses a buffer. Different buffers are independent.
 *  - "Collective" functions are called by all ranks of a buffer, in the same order.
 */
#ifndef EP4J_H_
#define EP4J_H_

#include <stdint.h>

#if defined(_WIN32)
#define EP4J_API
#else
#define EP4J_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define EP4J_ABI_VERSION 1
#define EP4J_MAX_RANKS 32
#define EP4J_MAX_TOPK 32
#define EP4J_MAX_REGIONS 64
#define EP4J_CALL_ENDS 512
#define EP4J_MAX_OUTPUTS 16
#define EP4J_MAX_COPIES 16
#define EP4J_MAX_LOW_LATENCY 16
#define EP4J_WINDOW_NAME_BYTES 192

typedef enum ep4j_status {
  EP4J_OK = 0,
  EP4J_PENDING = 1,          /* not there yet; ask again */
  EP4J_INVALID_ARGUMENT = 2, /* a rule was broken; nothing was issued */
  EP4J_NO_DEVICE = 3,        /* no driver, or no usable device */
  EP4J_CUDA_ERROR = 4,       /* the CUDA runtime refused something */
  EP4J_INTERNAL = 5          /* a bug in this library */
} ep4j_status;

/* Element type of rows. */
typedef enum ep4j_dtype { EP4J_BF16 = 0, EP4J_FP8_E4M3 = 1 } ep4j_dtype;

/* Cast of BF16 rows to E4M3 on their way out, one scale per 128 channels. */
typedef enum ep4j_cast {
  EP4J_CAST_NONE = 0,
  EP4J_CAST_PLAIN = 1,
  EP4J_CAST_ROUNDED = 2,
  EP4J_CAST_UE8M0 = 3
} ep4j_cast;

/* Order of received rows. */
typedef enum ep4j_order { EP4J_RANK_MAJOR = 0, EP4J_EXPERT_MAJOR = 1 } ep4j_order;

/* How rows are copied. AUTO takes the bulk-copy engine where the device has one. */
typedef enum ep4j_copy_path {
  EP4J_COPY_AUTO = 0,
  EP4J_COPY_LOAD_STORE = 1,
  EP4J_COPY_BULK = 2
} ep4j_copy_path;

/* What a collective call came to on this rank. */
typedef enum ep4j_verdict {
  EP4J_SENT = 0,     /* granted by every destination */
  EP4J_OVERFLOW = 1, /* some destination has too little room: every rank dropped the call */
  EP4J_REFUSED = 2,  /* some rank's routing is bad: every rank dropped the call */
  EP4J_ABORTED = 3   /* this rank gave up: see the error record */
} ep4j_verdict;

/* What a device reports; see ep4j_error. */
typedef enum ep4j_fault {
  EP4J_FAULT_NONE = 0,
  EP4J_FAULT_TIMEOUT = 1,     /* peer did not do its part of stage before the deadline */
  EP4J_FAULT_PEER_FAILED = 2, /* origin gave up on culprit */
  EP4J_FAULT_MISMATCH = 3,    /* peer is in a different call */
  EP4J_FAULT_MASKED = 4,      /* peer has masked this rank */
  EP4J_FAULT_OVERFLOW = 5,    /* a bounded call was dropped: needed and capacity of peer */
  EP4J_FAULT_REFUSED = 6,     /* a bounded call was dropped: rule, token and value of peer */
  EP4J_FAULT_OVERTAKEN = 7,   /* peer's word is of a later call */
  EP4J_FAULT_ABORTED = 8,     /* the rank's host gave up: see ep4j_abort */
  EP4J_FAULT_CLOSED = 9       /* the rank closed its buffer */
} ep4j_fault;

/* What a rank waits for from a peer. */
typedef enum ep4j_stage {
  EP4J_STAGE_CALL = 0,    /* the peer enters the same call */
  EP4J_STAGE_COUNTS = 1,  /* how many rows the peer has for this rank */
  EP4J_STAGE_GRANT = 2,   /* where the peer lets this rank write */
  EP4J_STAGE_ARRIVAL = 3, /* the peer's rows are at their place */
  EP4J_STAGE_OUTPUT = 4,  /* the peer's expert outputs may be read */
  EP4J_STAGE_READERS = 5, /* the peer has read this rank's expert outputs */
  EP4J_STAGE_INBOX = 6,   /* the peer has packed this rank's earlier low-latency rows */
  EP4J_STAGE_LATE = 7,    /* the masked peer has written what it may still write to a region */
  EP4J_STAGE_MESSAGE = 8, /* the peer, on another node, sends its rows for this one */
  EP4J_STAGE_CREDIT = 9,  /* the peer, on another node, hands this rank's rows on */
  EP4J_STAGE_SUM = 10     /* the peer, on another node, sends that node's sums */
} ep4j_stage;

/* Why a routing is refused. */
typedef enum ep4j_routing_rule {
  EP4J_ROUTING_GOOD = 0,
  EP4J_ROUTING_OUT_OF_RANGE = 1, /* an index outside -1 .. num_experts - 1 */
  EP4J_ROUTING_TWICE = 2         /* an expert twice in one token */
} ep4j_routing_rule;

typedef struct ep4j_buffer ep4j_buffer;
typedef struct ep4j_gate ep4j_gate;

/* A device, as far as a caller has to know it. */
typedef struct ep4j_device {
  uint64_t struct_size;
  char name[128];
  unsigned char uuid[16];
  int32_t compute_major;
  int32_t compute_minor;
  int32_t num_sms;
  int32_t driver_version;  /* of CUDA, 1000 * major + 10 * minor */
  int32_t runtime_version; /* of CUDA, the one in this library */
  int32_t has_bulk_copy;   /* whether rows can go through the bulk-copy engine */
  int32_t shared_bytes;    /* shared memory that one block may have */
  int32_t is_shared;       /* whether processes share it through NVIDIA MPS */
  uint64_t total_bytes;
} ep4j_device;

/* How one device reaches another's memory. */
typedef struct ep4j_link {
  uint64_t struct_size;
  int32_t has_access;  /* loads and stores work; without it no two ranks may use these devices */
  int32_t has_atomics; /* so does every atomic operation: NVLink, not PCIe */
  int32_t rank;        /* relative speed, 0 is the fastest of this machine */
} ep4j_link;

/*
 * What a buffer is made for; equal on all ranks but for rank, device, copy_path and the bytes, which
 * may differ: only whether there is an arena is the same everywhere.
 */
typedef struct ep4j_buffer_config {
  uint64_t struct_size;
  int32_t device;
  int32_t rank;
  int32_t num_ranks;
  int32_t num_experts;
  int32_t max_tokens; /* per rank */
  int32_t max_topk;
  int32_t max_row_bytes; /* of x and of y */
  int32_t num_regions;   /* dispatch results that can be open */
  int32_t num_outputs;   /* combines that can be open */
  int32_t max_handles;
  int32_t copy_path;       /* ep4j_copy_path */
  int32_t mask_on_timeout; /* 0: a timeout fails the buffer; 1: it masks the silent peer */
  int64_t region_bytes;    /* of each region, see ep4j_region_bytes */
  int64_t output_bytes;    /* of each output, see ep4j_output_bytes */
  int64_t arena_bytes;     /* not 0: one arena for regions and outputs, whose bytes are then 0 */
} ep4j_buffer_config;

/*
 * The low-latency part of a buffer; equal on all ranks. Its memory is of fixed size: num_inboxes +
 * num_regions + num_outputs times local experts * num_ranks * max_tokens rows. Experts and K are
 * the buffer's.
 */
typedef struct ep4j_low_latency_config {
  uint64_t struct_size;
  int32_t max_tokens;      /* M, per rank and call */
  int32_t hidden;          /* H, of every call */
  int32_t num_inboxes;     /* dispatches that can be sent and not received */
  int32_t num_regions;     /* results that can be open */
  int32_t num_outputs;     /* combines that can be open */
  int32_t reserved;
} ep4j_low_latency_config;

/*
 * How a buffer's ranks share nodes, and the network between these; equal on all ranks but for the
 * seed. Ranks are threads of one process: the network is a loopback of copies, which moves rows as
 * a real one would (over NVSHMEM: ep4j_nvshmem.h). Normal mode only. The calls' blocks wait for those of other ranks, so a call may
 * have as many as is the rank's share of the device.
 */
typedef struct ep4j_internode_config {
  uint64_t struct_size;
  int32_t ranks_per_node;  /* a divisor of num_ranks, less than it */
  int32_t staging_rows;    /* rows of one rank on their way through another; 0: at most 1024 */
  int32_t max_scale_words; /* 4-byte words of scales that come with a row, or are made by a cast */
  int32_t reserved;
  uint64_t seed;           /* not 0: rows overtake each other, by this seed, for tests */
} ep4j_internode_config;

/* Normal-mode payload over the network between this rank and one node, since the buffer was made. */
typedef struct ep4j_network {
  uint64_t struct_size;
  uint64_t rows_sent[EP4J_MAX_RANKS]; /* by node; of dispatches, once per token and other node */
  uint64_t bytes_sent[EP4J_MAX_RANKS];     /* of these rows: x and scales */
  uint64_t rows_combined[EP4J_MAX_RANKS];  /* sums of tokens that came back */
  uint64_t bytes_combined[EP4J_MAX_RANKS]; /* of these: x */
} ep4j_network;

/* Memory that a buffer takes, all of it when it is made. */
typedef struct ep4j_buffer_memory {
  uint64_t struct_size;
  int64_t control_bytes;              /* of the window: what ranks publish to each other */
  int64_t dispatch_bytes;             /* of the window: regions, or the arena */
  int64_t combine_bytes;              /* of the window: outputs */
  int64_t low_latency_dispatch_bytes; /* of the window: inboxes and regions of that mode */
  int64_t low_latency_combine_bytes;  /* of the window: outputs of that mode */
  int64_t private_bytes;              /* device memory that no peer addresses: handles and state */
  int64_t pinned_bytes;               /* host memory that the device writes to */
} ep4j_buffer_memory;

/* Names a rank's window to its peers: an opaque record to be exchanged as it is. */
typedef struct ep4j_window_name {
  unsigned char bytes[EP4J_WINDOW_NAME_BYTES];
} ep4j_window_name;

/* What a region's rows carry. */
typedef struct ep4j_region_form {
  uint64_t struct_size;
  int32_t order;       /* ep4j_order */
  int32_t row_bytes;   /* of x on the wire */
  int32_t scale_words; /* 4-byte words of scales per row */
  int32_t num_topk;    /* 0 for a cached dispatch, which carries no metadata */
  int32_t index_bytes; /* 4 or 8 */
  int32_t reserved;
  int64_t capacity_rows;
} ep4j_region_form;

/* One dispatch. Tensors are on the buffer's device, dense and row-major where not said otherwise.
 */
typedef struct ep4j_dispatch_call {
  uint64_t struct_size;
  const void* x;      /* [num_tokens, hidden] BF16 or E4M3, 16-byte aligned */
  const void* scales; /* [num_tokens, scale_words] 4-byte words, or NULL */
  int64_t scale_stride_token;
  int64_t scale_stride_word;
  const void* topk_idx;      /* [num_tokens, num_topk] int32 or int64; NULL: repeat the handle's */
  const float* topk_weights; /* [num_tokens, num_topk], or NULL for zeros */
  int32_t num_tokens;
  int32_t hidden;      /* elements of a row */
  int32_t dtype;       /* ep4j_dtype of x */
  int32_t cast;        /* ep4j_cast */
  int32_t scale_words; /* of the scales given; ignored with a cast */
  int32_t index_bytes; /* 4 or 8 */
  int32_t num_topk;
  int32_t order;         /* ep4j_order */
  int32_t alignment;     /* of expert counts or groups, >= 1 */
  int32_t zero_fill;     /* expert-major: padding rows are all zero */
  int32_t bounded;       /* 1: the result has exactly capacity_rows rows, no host counts */
  int32_t region;        /* a free one, 0 .. num_regions - 1 */
  int32_t handle;        /* counted: a free one to be filled; cached: the one to repeat */
  int32_t num_sms;       /* blocks of the sending kernel; 0 for the default */
  int64_t capacity_rows; /* rows of the region in this call */
  int64_t timeout_nanos;
  uint64_t ticket; /* not bounded: names the counts; counted never 0, cached 0 for no counts */
} ep4j_dispatch_call;

/*
 * Where the result of a dispatch lies; NULL where the form has no such tensor. All NULL in an arena
 * if the call is exact, until ep4j_region_settle, or was given no place.
 */
typedef struct ep4j_dispatch_result {
  uint64_t struct_size;
  void* x;                    /* [capacity_rows, row_bytes] */
  void* scales;               /* [capacity_rows, scale_words] */
  void* topk_idx;             /* rank-major [capacity_rows, num_topk] */
  float* topk_weights;        /* rank-major [capacity_rows, num_topk] */
  int32_t* source_token;      /* [capacity_rows] */
  int32_t* rank_prefix;       /* rank-major [num_ranks] */
  int32_t* expert_offsets;    /* expert-major [local experts + 1] */
  float* weight;              /* expert-major [capacity_rows] */
  int32_t* source_rank;       /* expert-major [capacity_rows] */
  int32_t* topk_slot;         /* expert-major [capacity_rows] */
  int32_t* tokens_per_expert; /* [local experts] */
  int32_t* num_received;      /* [1] */
} ep4j_dispatch_result;

/* What an unbounded dispatch with a ticket tells the host; a cached one tells its verdict only. */
typedef struct ep4j_counts {
  uint64_t struct_size;
  int32_t verdict;      /* ep4j_verdict */
  int32_t num_received; /* padding included */
  int32_t origin;       /* rank that overflowed, or whose routing is refused */
  int32_t rule;         /* ep4j_routing_rule */
  int64_t needed;
  int64_t capacity;
  int32_t token;
  int32_t reserved;
  int64_t value;
} ep4j_counts;

/*
 * The sending half of one combine. With receive_follows the buffer's next call must be the
 * ep4j_combine_receive of the same output: across nodes both halves are then one launch, which sums
 * what other nodes send while it is in the cache, and peers wait for it.
 */
typedef struct ep4j_combine_call {
  uint64_t struct_size;
  const void* y; /* [rows, hidden] BF16; the output's own memory or to be copied there */
  const float* topk_weights; /* rank-major [rows, num_topk], expert-major [rows]; or NULL */
  int32_t handle;
  int32_t output; /* 0 .. num_outputs - 1; free, or the one that y lies in */
  int32_t rows;   /* of the dispatch's result */
  int32_t hidden;
  int32_t weighted; /* expert-major: multiply by the dispatch's gate weights */
  int32_t num_sms;  /* blocks of the staging kernel; 0 for the default */
  int64_t timeout_nanos;
  int32_t receive_follows;
  int32_t reserved;
} ep4j_combine_call;

/* The receiving half of one combine. */
typedef struct ep4j_combine_receive_call {
  uint64_t struct_size;
  void* out;          /* [num_tokens, hidden] BF16 */
  float* out_weights; /* [num_tokens, num_topk], or NULL; given if topk_weights were */
  const void* bias0;  /* [num_tokens, hidden] BF16, or NULL */
  const void* bias1;  /* as bias0; only with it */
  int32_t handle;
  int32_t output; /* of the sending half */
  int32_t hidden;
  int32_t weighted;
  int32_t num_sms; /* blocks of the summing kernel; 0 for the default */
  int32_t reserved;
  int64_t timeout_nanos;
} ep4j_combine_receive_call;

/*
 * One low-latency dispatch. R is num_ranks * M. Without hook it sends and receives in one launch;
 * with it ep4j_low_latency_dispatch_receive does the rest, and receive_stats and wait_nanos must
 * stay until then.
 */
typedef struct ep4j_low_latency_dispatch_call {
  uint64_t struct_size;
  const void* x;          /* [num_tokens, hidden] BF16, 16-byte aligned */
  const void* topk_idx;   /* [num_tokens, num_topk] int32 or int64 */
  int32_t* receive_stats; /* [local experts], rows received are added; or NULL */
  int64_t* wait_nanos;    /* [num_ranks], time blocked on each source; or NULL */
  int32_t num_tokens;
  int32_t num_topk;
  int32_t index_bytes; /* 4 or 8 */
  int32_t cast;        /* ep4j_cast */
  int32_t region;      /* a free one, 0 .. num_regions - 1 */
  int32_t output;      /* a free one, to be writable once received; -1 for none */
  int32_t num_sms;     /* blocks; 0 for ep4j_low_latency_blocks, and at most that */
  int32_t hook;
  int64_t timeout_nanos;
} ep4j_low_latency_dispatch_call;

/* Where the result of a low-latency dispatch lies. */
typedef struct ep4j_low_latency_result {
  uint64_t struct_size;
  void* x;               /* [local experts, R, hidden] BF16, or E4M3 with a cast */
  void* scales;          /* [local experts, R, words] words, strides [words R, 1, R]; or NULL */
  int32_t* count;        /* [local experts] */
  int32_t* source_info;  /* [local experts, R] token in its source */
  int64_t* layout_range; /* [local experts, num_ranks] begin << 32 | count */
  void* y;               /* [local experts, R, hidden] BF16: the output's memory; or NULL */
} ep4j_low_latency_result;

/*
 * One low-latency combine of the dispatch whose result is in region. Without hook it sends and
 * receives in one launch; with it ep4j_low_latency_combine_receive does the rest, and topk_weights
 * must stay until then.
 */
typedef struct ep4j_low_latency_combine_call {
  uint64_t struct_size;
  const void* y;             /* [local experts, R, hidden] BF16; in the output, or to be copied */
  const float* topk_weights; /* [num_tokens, num_topk] */
  void* out;                 /* [num_tokens, hidden] BF16 */
  int32_t region;            /* received, and not released */
  int32_t output;            /* free, or the one that y lies in */
  int32_t log_fmt;           /* 1: rows travel as LogFMT-10, which overwrites the output */
  int32_t num_sms;           /* blocks; 0 for ep4j_low_latency_blocks, and at most that */
  int32_t hook;
  int32_t reserved;
  int64_t timeout_nanos;
} ep4j_low_latency_combine_call;

/* Counts of one routing. */
typedef struct ep4j_layout_call {
  uint64_t struct_size;
  const void* topk_idx;       /* [num_tokens, num_topk] */
  int32_t* tokens_per_rank;   /* [num_ranks] */
  int32_t* tokens_per_expert; /* [num_experts] */
  int32_t* tokens_per_node;   /* [nodes]; or NULL */
  uint8_t* is_token_in_rank;  /* [num_tokens, num_ranks] 0 or 1; or NULL */
  int32_t num_tokens;
  int32_t num_topk;
  int32_t index_bytes;
  int32_t reserved;
  uint64_t ticket; /* names what the host is told; 0: nothing */
} ep4j_layout_call;

/* What a layout call tells the host about its routing. */
typedef struct ep4j_layout_verdict {
  uint64_t struct_size;
  int32_t rule;  /* ep4j_routing_rule that it breaks first */
  int32_t token; /* where, and the index found there */
  int64_t value;
} ep4j_layout_verdict;

/* Copies between places of the buffer's device, of any alignment and length; none may overlap. */
typedef struct ep4j_copy_call {
  uint64_t struct_size;
  int32_t count;
  int32_t num_sms;      /* blocks of the copying kernel; 0 for the default */
  const void* from[16]; /* [EP4J_MAX_COPIES], count of them used */
  void* to[16];
  int64_t bytes[16];
} ep4j_copy_call;

/* What a device reported first since the last call of ep4j_error. */
typedef struct ep4j_error_record {
  uint64_t struct_size;
  int32_t fault;  /* ep4j_fault */
  int32_t stage;  /* ep4j_stage */
  int32_t peer;   /* the silent, mismatching or masking rank; whose routing is refused */
  int32_t origin; /* rank that saw it first */
  int32_t region; /* region or output, -1 where there is none */
  int32_t rule;   /* ep4j_routing_rule */
  int64_t token;
  int64_t value;
  uint64_t expected; /* epoch waited for */
  uint64_t seen;     /* epoch found */
  int64_t needed;
  int64_t capacity;
  uint64_t origin_call[4]; /* of a mismatch: the words of the calls of origin and peer */
  uint64_t peer_call[4];
} ep4j_error_record;

/* One row copy; addresses are on the device, 16-byte aligned. */
typedef struct ep4j_row_copy_call {
  uint64_t struct_size;
  const void* rows;     /* [num_rows, row_bytes] */
  void* out;            /* [num_rows, row_bytes]; its row i becomes row order[i] of rows */
  const int32_t* order; /* [num_rows] */
  int32_t device;
  int32_t num_rows;
  int32_t row_bytes;
  int32_t num_sms; /* blocks of the copying kernel */
} ep4j_row_copy_call;

/*
 * Words that a device keeps for its host; to be read with acquire, as long as the buffer lives. And
 * ends of calls: every function of a call records one more, but in a capture. End n is of the event
 * n modulo EP4J_CALL_ENDS, which may have been recorded again since: then it tells of a later end.
 */
typedef struct ep4j_host_words {
  uint64_t struct_size;
  const uint32_t* fault;       /* not 0: ep4j_error may have a fault, or a part of one */
  const uint32_t* drop;        /* the same, for a bounded call that was dropped */
  const uint64_t* undelivered; /* results of this call and of later ones are not whole */
  const uint32_t* late;        /* [num_regions] bit p: masked rank p may still write there */
  const uint64_t* num_ends;    /* for the thread that makes the calls */
  void* const* ends;           /* [EP4J_CALL_ENDS] cudaEvent_t, as long as the buffer lives */
} ep4j_host_words;

/* Where a rank stands. Arrays are indexed by rank, late by region. */
typedef struct ep4j_standing {
  uint64_t struct_size;
  uint64_t epoch;      /* of the last call entered */
  uint64_t dispatches; /* entered so far */
  uint64_t low_latency_dispatches;
  int32_t failed;      /* ep4j_fault that ended this rank's part */
  int32_t quarantined; /* free regions that a masked rank may still write to */
  uint64_t masked_by;  /* bit p: rank p has masked this one, and is not masked here */
  uint64_t left;       /* bit p: rank p has left because somebody masked it */
  uint64_t mask_tags[EP4J_MAX_RANKS];    /* change when the rank masks this one */
  uint64_t failure_tags[EP4J_MAX_RANKS]; /* change when the rank gives up */
  uint64_t late[EP4J_MAX_REGIONS];       /* bit p: masked rank p may still write there */
  uint64_t rows_sent[EP4J_MAX_RANKS];    /* of normal dispatches */
  uint64_t bytes_sent[EP4J_MAX_RANKS];   /* of these rows: x and scales */
  uint64_t rows_received[EP4J_MAX_RANKS];
  uint64_t rows_combined[EP4J_MAX_RANKS]; /* read from the rank's expert outputs */
  uint64_t wait_nanos[EP4J_MAX_RANKS];    /* that kernels were blocked on the rank */
  /* The same of low-latency mode. */
  uint64_t low_latency_rows_sent[EP4J_MAX_RANKS];
  uint64_t low_latency_bytes_sent[EP4J_MAX_RANKS];
  uint64_t low_latency_rows_received[EP4J_MAX_RANKS];
  uint64_t low_latency_rows_combined[EP4J_MAX_RANKS];
  uint64_t low_latency_wait_nanos[EP4J_MAX_RANKS];
} ep4j_standing;

/* The end of an unmask on one of its members. */
typedef struct ep4j_welcome_call {
  uint64_t struct_size;
  uint64_t members;    /* bit p: this rank sees rank p again */
  uint64_t epoch;      /* of the furthest member */
  uint64_t dispatches; /* of the furthest member */
  uint64_t low_latency_dispatches;
  int64_t wait_nanos;
  uint64_t mask_tags[EP4J_MAX_RANKS];    /* of the members, from ep4j_standing */
  uint64_t failure_tags[EP4J_MAX_RANKS]; /* of the members */
} ep4j_welcome_call;

/* EP4J_ABI_VERSION of the library that is loaded. */
EP4J_API int32_t ep4j_abi_version(void);

/* Text of this thread's last failure; never NULL; valid until the thread's next call. */
EP4J_API const char* ep4j_last_error(void);

/* Devices that a buffer can be made on. EP4J_NO_DEVICE, with the reason, where there are none. */
EP4J_API ep4j_status ep4j_device_count(int32_t* count);

/* Describes a device. */
EP4J_API ep4j_status ep4j_device_info(int32_t device, ep4j_device* info);

/* How device reaches the memory of peer; both exist. */
EP4J_API ep4j_status ep4j_link_info(int32_t device, int32_t peer, ep4j_link* link);

/* Bytes that a region needs for a form; needs no device. */
EP4J_API ep4j_status ep4j_region_bytes(const ep4j_region_form* form, int32_t num_ranks,
                                       int32_t num_experts, int64_t* bytes);

/* Bytes that an output needs: weights_per_row is num_topk in rank-major order, 1 in expert-major.
 */
EP4J_API ep4j_status ep4j_output_bytes(int64_t rows, int32_t hidden, int32_t weights_per_row,
                                       int64_t* bytes);

/* Bytes that a buffer will take; needs no device. */
EP4J_API ep4j_status ep4j_buffer_bytes(const ep4j_buffer_config* config,
                                       ep4j_buffer_memory* memory);

/* The same for a buffer that has low-latency mode, too. */
EP4J_API ep4j_status ep4j_buffer_bytes_low_latency(const ep4j_buffer_config* config,
                                                   const ep4j_low_latency_config* low_latency,
                                                   ep4j_buffer_memory* memory);

/* Makes one rank's end, not yet connected. Waits for the device. */
EP4J_API ep4j_status ep4j_buffer_create(const ep4j_buffer_config* config, ep4j_buffer** buffer);

/* The same for a buffer that has low-latency mode, too. */
EP4J_API ep4j_status ep4j_buffer_create_low_latency(const ep4j_buffer_config* config,
                                                    const ep4j_low_latency_config* low_latency,
                                                    ep4j_buffer** buffer);

/* The same for a buffer whose ranks are of several nodes. */
EP4J_API ep4j_status ep4j_buffer_create_internode(const ep4j_buffer_config* config,
                                                  const ep4j_internode_config* internode,
                                                  ep4j_buffer** buffer);

/*
 * Bytes that several nodes add: to the window, and to the memory that no peer addresses. Needs no
 * device.
 */
EP4J_API ep4j_status ep4j_internode_bytes(const ep4j_buffer_config* config,
                                          const ep4j_internode_config* internode,
                                          int64_t* window_bytes, int64_t* private_bytes);

/* Payload over the network, of calls that have ended; EP4J_PENDING if the time is too short. */
EP4J_API ep4j_status ep4j_network_traffic(ep4j_buffer* buffer, int64_t wait_nanos,
                                          ep4j_network* network);

/* Names the window, for the peers. */
EP4J_API ep4j_status ep4j_buffer_window(ep4j_buffer* buffer, ep4j_window_name* name);

/* Maps the peers' windows; names is [num_ranks], in rank order. */
EP4J_API ep4j_status ep4j_buffer_connect(ep4j_buffer* buffer, const ep4j_window_name* names);

/*
 * Unmaps the peers' windows, after this rank's work has ended, and tells the peers that it closes.
 * Waits for this rank's calls on the device.
 */
EP4J_API ep4j_status ep4j_buffer_disconnect(ep4j_buffer* buffer);

/*
 * Frees a disconnected buffer. With abandon_window the window stays allocated: for when a peer that
 * may still write to it has not confirmed that it disconnected.
 */
EP4J_API ep4j_status ep4j_buffer_destroy(ep4j_buffer* buffer, int32_t abandon_window);

/* Counts a routing; local. Entries outside 0 .. num_experts - 1 count nowhere. */
EP4J_API ep4j_status ep4j_layout(ep4j_buffer* buffer, const ep4j_layout_call* call, void* stream);

/* What the layout call of a ticket tells; EP4J_PENDING if it has not come. */
EP4J_API ep4j_status ep4j_layout_told(ep4j_buffer* buffer, uint64_t ticket,
                                      ep4j_layout_verdict* verdict);

/*
 * The sending half of a dispatch: collective. Its result is complete after ep4j_dispatch_receive;
 * addresses are known at once.
 */
EP4J_API ep4j_status ep4j_dispatch(ep4j_buffer* buffer, const ep4j_dispatch_call* call,
                                   ep4j_dispatch_result* result, void* stream);

/* The receiving half: after it, on its stream, the region's contents may be read. */
EP4J_API ep4j_status ep4j_dispatch_receive(ep4j_buffer* buffer, int32_t region,
                                           int64_t timeout_nanos, void* stream);

/*
 * Waits at most wait_nanos on the host for what a counted dispatch tells; EP4J_PENDING if it has
 * not come. tokens_per_expert is [local experts]: aligned counts in rank-major order, real ones in
 * expert-major order.
 */
EP4J_API ep4j_status ep4j_dispatch_counts(ep4j_buffer* buffer, uint64_t ticket, int64_t wait_nanos,
                                          ep4j_counts* counts, int32_t* tokens_per_expert);

/* Readers enqueued on stream so far must finish before the region is used again. */
EP4J_API ep4j_status ep4j_region_release(ep4j_buffer* buffer, int32_t region, void* stream);

/*
 * Arena: gives a free region its place for the next dispatch, a multiple of 128 bytes from the
 * arena's beginning, which no open region and no output in use overlaps. An exact dispatch (counted
 * and not bounded) receives as many rows as come, if they fit. For other dispatches a place that is
 * too small means that the call is to be dropped: every rank gets EP4J_OVERFLOW. Combines must have
 * been received before the next dispatch, combine or combine input.
 */
EP4J_API ep4j_status ep4j_region_place(ep4j_buffer* buffer, int32_t region, int64_t offset,
                                       int64_t bytes);

/*
 * Arena: the counts of an exact dispatch have come: its region has these rows, and its place shrinks
 * to ep4j_region_bytes of them. Between the call and its receiving half.
 */
EP4J_API ep4j_status ep4j_region_settle(ep4j_buffer* buffer, int32_t region, int64_t rows,
                                        ep4j_dispatch_result* result);

/* Arena: gives a free output its place for the next combine or combine input; as for a region. */
EP4J_API ep4j_status ep4j_output_place(ep4j_buffer* buffer, int32_t output, int64_t offset,
                                       int64_t bytes);

/*
 * Hands an output's memory out: on stream, after this call, it may be written, because the readers
 * of its last contents have finished. y is given whole to ep4j_combine, unmoved.
 */
EP4J_API ep4j_status ep4j_combine_input(ep4j_buffer* buffer, int32_t output, int64_t rows,
                                        int32_t hidden, int64_t timeout_nanos, void** y,
                                        void* stream);

/* The sending half of a combine: collective. */
EP4J_API ep4j_status ep4j_combine(ep4j_buffer* buffer, const ep4j_combine_call* call, void* stream);

/* The receiving half: after it, on its stream, out may be read. */
EP4J_API ep4j_status ep4j_combine_receive(ep4j_buffer* buffer,
                                          const ep4j_combine_receive_call* call, void* stream);

/* Copies on stream by one kernel and no copy engine, so that it holds up no peer. Local. */
EP4J_API ep4j_status ep4j_copy(ep4j_buffer* buffer, const ep4j_copy_call* call, void* stream);

/*
 * A low-latency dispatch, or its sending half: collective. Addresses are known at once; contents
 * may be read on the stream after the receiving half. The sending half of dispatch j waits until
 * every peer has received dispatch j - num_inboxes; this rank must have issued that itself. That a
 * peer may use an inbox or an output again is published with this rank's next low-latency call.
 */
EP4J_API ep4j_status ep4j_low_latency_dispatch(ep4j_buffer* buffer,
                                               const ep4j_low_latency_dispatch_call* call,
                                               ep4j_low_latency_result* result, void* stream);

/*
 * Blocks that a low-latency call of the buffer may have now. All blocks of a call wait for peers, so
 * the calls of all buffers on the device that this process knows of, its own and those of their
 * other ranks, share its multiprocessors; a captured call keeps its blocks.
 */
EP4J_API ep4j_status ep4j_low_latency_blocks(ep4j_buffer* buffer, int32_t* blocks);

/* The receiving half of a dispatch with a hook; once, in any order among open ones. */
EP4J_API ep4j_status ep4j_low_latency_dispatch_receive(ep4j_buffer* buffer, int32_t region,
                                                       int32_t num_sms, int64_t timeout_nanos,
                                                       void* stream);

/* Readers enqueued on stream so far must finish before the region is used again. */
EP4J_API ep4j_status ep4j_low_latency_release(ep4j_buffer* buffer, int32_t region, void* stream);

/*
 * Hands an output's memory out: on stream, after this call, it may be written, because the readers
 * of its last contents have finished. Launches nothing if a dispatch has waited for them.
 */
EP4J_API ep4j_status ep4j_low_latency_combine_input(ep4j_buffer* buffer, int32_t output,
                                                    int64_t timeout_nanos, void** y, void* stream);

/*
 * A low-latency combine, or its sending half: collective. out may be read on the stream after the
 * receiving half. A combine num_outputs before this one must have been received by this rank.
 */
EP4J_API ep4j_status ep4j_low_latency_combine(ep4j_buffer* buffer,
                                              const ep4j_low_latency_combine_call* call,
                                              void* stream);

/* The receiving half of a combine with a hook; once, in any order among open ones. */
EP4J_API ep4j_status ep4j_low_latency_combine_receive(ep4j_buffer* buffer, int32_t output,
                                                      int32_t num_sms, int64_t timeout_nanos,
                                                      void* stream);

/* Masks a rank on this one: it is neither sent to nor waited for. Does not wait for the device. */
EP4J_API ep4j_status ep4j_mask(ep4j_buffer* buffer, int32_t rank);

/* Bit r is set if this rank has masked rank r, by ep4j_mask or on a timeout. */
EP4J_API ep4j_status ep4j_masked(ep4j_buffer* buffer, uint32_t* ranks);

/*
 * This rank gives up: what waits on its device ends, and so does every peer's wait. The buffer has
 * failed. Does not wait for the device.
 */
EP4J_API ep4j_status ep4j_abort(ep4j_buffer* buffer);

/* A rank's process has ended, or it has disconnected: it writes to nobody's memory any more. */
EP4J_API ep4j_status ep4j_forget(ep4j_buffer* buffer, int32_t rank);

/* Records an end after work that the caller has given a stream beside the buffer's calls. */
EP4J_API ep4j_status ep4j_mark(ep4j_buffer* buffer, void* stream);

/* Where the words for the host lie. */
EP4J_API ep4j_status ep4j_buffer_words(ep4j_buffer* buffer, ep4j_host_words* words);

/*
 * Asks the device, beside the calls that run, where this rank stands: microseconds. EP4J_PENDING if
 * it did not answer within wait_nanos.
 */
EP4J_API ep4j_status ep4j_look(ep4j_buffer* buffer, int64_t wait_nanos, ep4j_standing* standing);

/* EP4J_PENDING while kernels of a call run or wait on their stream. */
EP4J_API ep4j_status ep4j_idle(ep4j_buffer* buffer);

/*
 * Unmasks: from the next call on this rank sees the members again, and has forgotten that it was
 * masked. For the caller to agree on with all members first: every one of them is idle, has
 * received what it sent, and calls this before its next call. Waits for the device: microseconds;
 * EP4J_PENDING if it did not answer within wait_nanos, which makes no difference to later calls.
 */
EP4J_API ep4j_status ep4j_welcome(ep4j_buffer* buffer, const ep4j_welcome_call* call);

/* Takes the first fault reported since the last call: fault is EP4J_FAULT_NONE if there is none. */
EP4J_API ep4j_status ep4j_error(ep4j_buffer* buffer, ep4j_error_record* record);

/*
 * Memory, streams and events of a device, for callers that have no CUDA runtime of their own: this
 * library has one inside. Memory is allocated and freed in stream order, so that no other stream
 * has to wait, which a rank of this process could take for a silent peer.
 */

/* Memory that work enqueued on stream from now on may use; at least 256-byte aligned. */
EP4J_API ep4j_status ep4j_memory_allocate(int32_t device, int64_t bytes, void* stream,
                                          void** address);

/* Frees memory once the work enqueued on stream so far has finished. */
EP4J_API ep4j_status ep4j_memory_free(int32_t device, void* address, void* stream);

/* Copies on stream; either side may be host memory, which must then stay until the copy is done. */
EP4J_API ep4j_status ep4j_memory_copy(int32_t device, void* to, const void* from, int64_t bytes,
                                      void* stream);

/*
 * A stream that does not wait for the legacy default stream; an urgent one has the device's highest
 * priority. It has been used already: the first kernel of a new stream can wait for other streams'
 * kernels, and so for a peer's that waits for this rank. Making one may wait for the device.
 */
EP4J_API ep4j_status ep4j_stream_create(int32_t device, int32_t urgent, void** stream);
EP4J_API ep4j_status ep4j_stream_destroy(int32_t device, void* stream);

/* Work enqueued on stream from now on starts after event's last recording. */
EP4J_API ep4j_status ep4j_stream_wait(int32_t device, void* stream, void* event);

/* EP4J_PENDING while stream has work; the work's error if it failed. */
EP4J_API ep4j_status ep4j_stream_query(int32_t device, void* stream);

/*
 * Graphs: calls recorded once and launched many times. Between begin and end this thread's calls on
 * stream are recorded, not run: bounded and cached calls without results in memory of their own.
 * ep4j_graph_end waits for the device: no peer may be waiting for this rank.
 */
EP4J_API ep4j_status ep4j_graph_begin(int32_t device, void* stream);
EP4J_API ep4j_status ep4j_graph_end(int32_t device, void* stream, void** graph);
EP4J_API ep4j_status ep4j_graph_launch(int32_t device, void* graph, void* stream);
EP4J_API ep4j_status ep4j_graph_destroy(int32_t device, void* graph);

/* Recording an event does nothing while stream is recorded into a graph. */
EP4J_API ep4j_status ep4j_event_destroy(int32_t device, void* event);
EP4J_API ep4j_status ep4j_event_record(int32_t device, void* event, void* stream);

/* EP4J_PENDING until the work before event's last recording has finished. */
EP4J_API ep4j_status ep4j_event_query(int32_t device, void* event);

/*
 * Measuring: GPU time of work that several streams begin at one moment, and what the machine can do
 * at most. For benchmarks; no function above needs these.
 */

/* An event with timing, for ep4j_event_record; ended by ep4j_event_destroy. */
EP4J_API ep4j_status ep4j_timer_create(int32_t device, void** event);

/* Time between two recordings; EP4J_PENDING until both have been passed. */
EP4J_API ep4j_status ep4j_timer_elapsed(int32_t device, void* begin, void* end, int64_t* nanos);

/* A gate, shut. Waits for the device. */
EP4J_API ep4j_status ep4j_gate_create(int32_t device, ep4j_gate** gate);

/* Ends a gate that no stream waits at. Waits for the device. */
EP4J_API ep4j_status ep4j_gate_destroy(ep4j_gate* gate);

/* Opens the gate for all streams that wait at it, or shuts it. */
EP4J_API ep4j_status ep4j_gate_set(ep4j_gate* gate, int32_t open);

/* Work enqueued on stream from now on waits until the gate is open, or for timeout_nanos. */
EP4J_API ep4j_status ep4j_gate_hold(ep4j_gate* gate, int32_t device, int64_t timeout_nanos,
                                    void* stream);

/*
 * Gathers rows by as many multiprocessors as said: the limit of what dispatch and combine can do
 * with them. Its first call may wait for the device.
 */
EP4J_API ep4j_status ep4j_row_copy(const ep4j_row_copy_call* call, void* stream);

#ifdef __cplusplus
}
#endif

#endif /* EP4J_H_ */
