/* The header is C99, and the library loads and answers where there may be no driver. */
#include <stdio.h>
#include <string.h>

#include "ep4j.h"

static int failures = 0;

static void expect(int holds, const char* what) {
  printf("%s %s\n", holds ? "ok  " : "FAIL", what);
  failures += !holds;
}

int main(void) {
  int32_t count = -1;
  int64_t bytes = 0;
  ep4j_status status;
  ep4j_region_form form;
  ep4j_buffer_config config;
  ep4j_buffer_memory memory;
  ep4j_buffer* buffer = NULL;

  expect(ep4j_abi_version() == EP4J_ABI_VERSION, "library and header have one ABI version");

  status = ep4j_device_count(&count);
  if (status == EP4J_NO_DEVICE) {
    printf("     no device: %s\n", ep4j_last_error());
    expect(strlen(ep4j_last_error()) > 0, "the reason for no device is told");
    memset(&config, 0, sizeof config);
    config.struct_size = sizeof config;
    config.num_ranks = 1;
    config.num_experts = 1;
    expect(ep4j_buffer_create(&config, &buffer) == EP4J_NO_DEVICE, "no buffer without a device");
  } else {
    expect(status == EP4J_OK && count > 0, "there is a device");
  }

  memset(&config, 0, sizeof config);
  memset(&memory, 0, sizeof memory);
  config.struct_size = sizeof config;
  memory.struct_size = sizeof memory;
  config.num_ranks = 2;
  config.num_experts = 8;
  config.max_tokens = 16;
  config.max_topk = 2;
  config.max_row_bytes = 128;
  config.num_regions = 2;
  config.num_outputs = 2;
  config.max_handles = 4;
  config.region_bytes = 1280;
  config.output_bytes = 640;
  expect(ep4j_buffer_bytes(&config, &memory) == EP4J_OK && memory.dispatch_bytes == 2560 &&
             memory.combine_bytes == 1280 && memory.control_bytes > 0 &&
             memory.private_bytes > 0 && memory.pinned_bytes > 0,
         "a buffer's bytes need no device");
  config.num_experts = 7;
  expect(ep4j_buffer_bytes(&config, &memory) == EP4J_INVALID_ARGUMENT,
         "nor does the refusal of a bad configuration");

  memset(&form, 0, sizeof form);
  form.struct_size = sizeof form - 1;
  expect(ep4j_region_bytes(&form, 1, 1, &bytes) == EP4J_INVALID_ARGUMENT,
         "a struct of another size is refused");
  expect(strstr(ep4j_last_error(), "struct_size") != NULL, "and the refusal names the rule");
  form.struct_size = sizeof form;
  form.row_bytes = 14336;
  form.capacity_rows = 10;
  expect(ep4j_region_bytes(&form, 1, 1, &bytes) == EP4J_OK && bytes == 143360,
         "a cached region is its rows");
  expect(ep4j_region_bytes(&form, 3, 4, &bytes) == EP4J_INVALID_ARGUMENT,
         "experts that ranks can't share are refused");
  expect(ep4j_output_bytes(10, 64, 1, &bytes) == EP4J_OK && bytes == 1280 + 128,
         "an output is its rows and weights");
  expect(ep4j_device_count(NULL) == EP4J_INVALID_ARGUMENT, "NULL is refused");
  return failures == 0 ? 0 : 1;
}
