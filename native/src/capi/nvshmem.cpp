// The C ABI of buffers over NVSHMEM; only in libep4j_nvshmem.so.
#include "capi/buffer.hpp"
#include "capi/guard.hpp"
#include "runtime/nvshmem_world.hpp"

using ep4j::guarded;
using ep4j::NvshmemWorld;
using ep4j::require_given;
using ep4j::require_struct;

ep4j_status ep4j_nvshmem_create_id(ep4j_nvshmem_id* id) {
  return guarded([&] {
    require_given(id, "id");
    NvshmemWorld::instance().make_id(*id);
    return EP4J_OK;
  });
}

ep4j_status ep4j_nvshmem_start(const ep4j_nvshmem_config* config, const ep4j_nvshmem_id* id) {
  return guarded([&] {
    require_struct(config, "config");
    require_given(id, "id");
    ep4j::device_count();  // NO_DEVICE before anything else
    NvshmemWorld::instance().start(*config, *id);
    return EP4J_OK;
  });
}

ep4j_status ep4j_nvshmem_stop(int32_t abandon) {
  return guarded([&] {
    if (abandon != 0) {
      NvshmemWorld::instance().abandon(0);
      return EP4J_OK;
    }
    return NvshmemWorld::instance().stop() ? EP4J_OK : EP4J_PENDING;
  });
}

ep4j_status ep4j_nvshmem_look(ep4j_nvshmem_standing* standing) {
  return guarded([&] {
    require_struct(standing, "standing");
    NvshmemWorld::instance().describe(*standing);
    return EP4J_OK;
  });
}

ep4j_status ep4j_nvshmem_window_bytes(const ep4j_buffer_config* config,
                                      const ep4j_low_latency_config* low_latency, int64_t* bytes) {
  return ep4j_nvshmem_window_bytes_internode(config, low_latency, nullptr, bytes);
}

ep4j_status ep4j_nvshmem_window_bytes_internode(const ep4j_buffer_config* config,
                                                const ep4j_low_latency_config* low_latency,
                                                const ep4j_internode_config* internode,
                                                int64_t* bytes) {
  return guarded([&] {
    require_struct(config, "config");
    require_given(bytes, "bytes");
    if (low_latency != nullptr) {
      require_struct(low_latency, "low_latency");
    }
    if (internode != nullptr) {
      require_struct(internode, "internode");
      ep4j::checked(*internode, *config);
    }
    ep4j_buffer_memory memory = {};
    ep4j::describe_memory(*config, low_latency, true, memory);
    *bytes = memory.control_bytes + memory.dispatch_bytes + memory.combine_bytes +
             memory.low_latency_dispatch_bytes + memory.low_latency_combine_bytes +
             ep4j::lines(ep4j::internode_layout(internode, *config, true).bytes());
    return EP4J_OK;
  });
}

ep4j_status ep4j_nvshmem_buffer_create(const ep4j_buffer_config* config,
                                       const ep4j_low_latency_config* low_latency,
                                       const ep4j_nvshmem_window* window, ep4j_buffer** buffer) {
  return ep4j_nvshmem_buffer_create_internode(config, low_latency, nullptr, window, buffer);
}

ep4j_status ep4j_nvshmem_buffer_create_internode(const ep4j_buffer_config* config,
                                                 const ep4j_low_latency_config* low_latency,
                                                 const ep4j_internode_config* internode,
                                                 const ep4j_nvshmem_window* window,
                                                 ep4j_buffer** buffer) {
  return guarded([&] {
    require_struct(config, "config");
    require_struct(window, "window");
    require_given(buffer, "buffer");
    if (low_latency != nullptr) {
      require_struct(low_latency, "low_latency");
    }
    if (internode != nullptr) {
      require_struct(internode, "internode");
      ep4j::checked(*internode, *config);
    }
    const int ranks_per_node = internode == nullptr ? 1 : internode->ranks_per_node;
    *buffer = ep4j::make_buffer(*config, low_latency,
                                ep4j::NvshmemTransport(*window, *config, ranks_per_node), internode);
    return EP4J_OK;
  });
}

ep4j_status ep4j_nvshmem_reached(ep4j_buffer* buffer, uint32_t* ranks) {
  return guarded([&] {
    require_given(buffer, "buffer");
    require_given(ranks, "ranks");
    *ranks = buffer->end.reached();
    return EP4J_OK;
  });
}
