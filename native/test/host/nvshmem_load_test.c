/* Compiles only if the header is C99; loads the library where there may be no driver. */
#include <stdio.h>
#include <string.h>

#include "ep4j_nvshmem.h"

static int failures = 0;

static void expect(int holds, const char* what) {
  if (!holds) {
    failures++;
    printf("FAIL %s; last error: %s\n", what, ep4j_last_error());
  }
}

int main(void) {
  ep4j_buffer_config config;
  memset(&config, 0, sizeof config);
  config.struct_size = sizeof config;
  config.num_ranks = 2;
  config.num_experts = 8;
  config.max_tokens = 64;
  config.max_topk = 4;
  config.max_row_bytes = 512;
  config.num_regions = 2;
  config.num_outputs = 2;
  config.max_handles = 4;
  config.region_bytes = 1 << 20;
  config.output_bytes = 1 << 20;
  ep4j_low_latency_config low;
  memset(&low, 0, sizeof low);
  low.struct_size = sizeof low;
  low.max_tokens = 64;
  low.hidden = 256;
  low.num_inboxes = 2;
  low.num_regions = 2;
  low.num_outputs = 2;

  int64_t plain = 0;
  int64_t with_low_latency = 0;
  expect(ep4j_nvshmem_window_bytes(&config, NULL, &plain) == EP4J_OK, "sizing a window");
  expect(ep4j_nvshmem_window_bytes(&config, &low, &with_low_latency) == EP4J_OK,
         "sizing a window with low latency");
  /* Two outputs that go and two that come back, of 8 experts x 64 rows x 512 bytes each. */
  expect(with_low_latency - plain > 4 * 8 * 64 * 512, "what comes back has its own memory");

  ep4j_nvshmem_standing standing;
  memset(&standing, 0, sizeof standing);
  standing.struct_size = sizeof standing;
  expect(ep4j_nvshmem_look(&standing) == EP4J_OK, "looking");
  expect(standing.running == 0 && standing.abandoned == 0, "NVSHMEM does not run");
  expect(standing.version[0] == 3, "NVSHMEM's major version is 3");

  ep4j_nvshmem_window window;
  memset(&window, 0, sizeof window);
  window.struct_size = sizeof window;
  window.bytes = plain;
  ep4j_buffer* buffer = NULL;
  int32_t devices = 0;
  const int has_device = ep4j_device_count(&devices) == EP4J_OK;
  expect(ep4j_nvshmem_buffer_create(&config, NULL, &window, &buffer) != EP4J_OK,
         "no buffer before NVSHMEM runs");
  expect(strstr(ep4j_last_error(), "started first") != NULL, "the refusal says so");
  expect(ep4j_nvshmem_stop(0) == EP4J_INVALID_ARGUMENT, "nothing to stop");

  ep4j_nvshmem_config start;
  memset(&start, 0, sizeof start);
  start.struct_size = sizeof start;
  start.num_ranks = 2;
  start.rank = 2;
  start.release_timeout_nanos = 1;
  ep4j_nvshmem_id id;
  memset(&id, 0, sizeof id);
  const ep4j_status refused = ep4j_nvshmem_start(&start, &id);
  expect(refused == (has_device ? EP4J_INVALID_ARGUMENT : EP4J_NO_DEVICE),
         "a bad start is refused");
  expect(ep4j_nvshmem_stop(1) == EP4J_OK, "abandoning");
  expect(ep4j_nvshmem_buffer_create(&config, NULL, &window, &buffer) != EP4J_OK &&
             strstr(ep4j_last_error(), "abandoned") != NULL,
         "no buffer after NVSHMEM was abandoned");
  if (failures == 0) {
    printf("ok   libep4j_nvshmem.so loads, NVSHMEM %d.%d.%d\n", (int)standing.version[0],
           (int)standing.version[1], (int)standing.version[2]);
  }
  return failures;
}
