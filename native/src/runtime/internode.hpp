// The part of a buffer that is for other nodes, as its host remembers it.
#pragma once

#include "launch/internode_budget.hpp"
#include "layout/internode_state.hpp"
#include "runtime/device.hpp"
#include "runtime/memory.hpp"

namespace ep4j {

// Refuses a configuration that breaks a rule; the buffer's own is checked.
const ep4j_internode_config& checked(const ep4j_internode_config& config,
                                     const ep4j_buffer_config& buffer);

// Where everything lies; empty without a configuration.
InternodeLayout internode_layout(const ep4j_internode_config* config,
                                 const ep4j_buffer_config& buffer, bool has_network);
InternodeStateLayout internode_state_layout(const InternodeLayout& layout,
                                            const ep4j_buffer_config& buffer);

struct Internode {
  Internode(const ep4j_internode_config& config, const ep4j_buffer_config& buffer,
            const DeviceLimits& limits, bool has_network);

  const ep4j_internode_config config;
  const InternodeLayout layout;
  const InternodeStateLayout state_layout;
  const int num_sms;
  DeviceMemory memory;

  InternodeState* state() const {
    return reinterpret_cast<InternodeState*>(memory.get() + state_layout.state());
  }
  NodeHandleView handle(int index) const {
    return {state_layout.handle_layout, memory.get() + state_layout.handle(index)};
  }

  // Shares the device with so many ranks of the group, this one included.
  void share(int ranks_on_device);

  // Blocks of a call that asks for so many multiprocessors; after share.
  int num_blocks(int asked, int default_sms) const;

 private:
  int ranks_on_device_ = 1;
};

}  // namespace ep4j
