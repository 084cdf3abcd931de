#include "runtime/internode.hpp"

#include <algorithm>

#include "kernels/internode/combine.hpp"
#include "kernels/internode/dispatch.hpp"

namespace ep4j {

const ep4j_internode_config& checked(const ep4j_internode_config& config,
                                     const ep4j_buffer_config& buffer) {
  require(config.ranks_per_node >= 1 && config.ranks_per_node < buffer.num_ranks &&
              buffer.num_ranks % config.ranks_per_node == 0,
          "ranks_per_node must be a divisor of num_ranks ", buffer.num_ranks, ", less than it: ",
          config.ranks_per_node);
  require(config.staging_rows >= 0 && config.staging_rows <= buffer.max_tokens,
          "staging_rows must be from 0 to max_tokens ", buffer.max_tokens, ": ",
          config.staging_rows);
  require(config.max_scale_words >= 0, "max_scale_words must not be negative: ",
          config.max_scale_words);
  require(buffer.max_tokens < MessageTag::kMostMessages, "max_tokens over several nodes must be below ",
          MessageTag::kMostMessages, ": ", buffer.max_tokens);
  return config;
}

InternodeLayout internode_layout(const ep4j_internode_config* config,
                                 const ep4j_buffer_config& buffer, bool has_network) {
  if (config == nullptr) {
    return {{buffer.num_ranks, buffer.num_ranks}, 0, 0, 0, 0, 0};
  }
  // What is on its way then stays in the cache; enough for a network card's 50 GB/s at 290 us.
  constexpr int kDefaultStagingRows = 1024;
  const int staging = config->staging_rows > 0
                          ? config->staging_rows
                          : std::min(buffer.max_tokens, kDefaultStagingRows);
  return {{buffer.num_ranks, config->ranks_per_node},
          buffer.max_tokens,
          staging,
          buffer.max_row_bytes,
          config->max_scale_words,
          buffer.num_outputs,
          has_network};
}

InternodeStateLayout internode_state_layout(const InternodeLayout& layout,
                                            const ep4j_buffer_config& buffer) {
  return {{layout.topology, layout.max_tokens, buffer.max_topk}, buffer.max_handles};
}

Internode::Internode(const ep4j_internode_config& given, const ep4j_buffer_config& buffer,
                     const DeviceLimits& limits, bool has_network)
    : config(checked(given, buffer)),
      layout(internode_layout(&given, buffer, has_network)),
      state_layout(internode_state_layout(layout, buffer)),
      num_sms(limits.num_sms),
      memory(static_cast<size_t>(state_layout.bytes())) {
  check(load_node_dispatch(), "loading the dispatch across nodes");
  check(load_node_combine(), "loading the combine across nodes");
  check(cudaMemset(memory.get(), 0, static_cast<size_t>(state_layout.bytes())),
        "clearing the state of several nodes");
}

void Internode::share(int ranks_on_device) {
  const InternodeBlocks blocks(layout.topology, num_sms, ranks_on_device);
  require(blocks.least <= blocks.most, "each of the ", ranks_on_device,
          " ranks on the device must have ", blocks.least, " of its multiprocessors: ", num_sms);
  ranks_on_device_ = ranks_on_device;
}

int Internode::num_blocks(int asked, int default_sms) const {
  const InternodeBlocks blocks(layout.topology, num_sms, ranks_on_device_);
  require(blocks.allows(asked), "num_sms of a call across nodes must be from ", blocks.least,
          " to ", blocks.most, ", so that the blocks of all ", ranks_on_device_,
          " ranks on the device, which wait for each other, are resident at once: ", asked);
  return blocks.of(asked, default_sms);
}

}  // namespace ep4j
