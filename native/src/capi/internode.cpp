// The C ABI of several nodes.
#include "capi/buffer.hpp"
#include "capi/guard.hpp"

using ep4j::guarded;
using ep4j::require_given;
using ep4j::require_struct;

ep4j_status ep4j_buffer_create_internode(const ep4j_buffer_config* config,
                                         const ep4j_internode_config* internode,
                                         ep4j_buffer** buffer) {
  return guarded([&] {
    require_struct(config, "config");
    require_struct(internode, "internode");
    require_given(buffer, "buffer");
    *buffer = ep4j::make_buffer(*config, nullptr, ep4j::PeerTransport(), internode);
    return EP4J_OK;
  });
}

ep4j_status ep4j_internode_bytes(const ep4j_buffer_config* config,
                                 const ep4j_internode_config* internode, int64_t* window_bytes,
                                 int64_t* private_bytes) {
  return guarded([&] {
    require_struct(config, "config");
    require_struct(internode, "internode");
    require_given(window_bytes, "window_bytes");
    require_given(private_bytes, "private_bytes");
    ep4j::checked(*internode, *config);
    const ep4j::InternodeLayout layout = ep4j::internode_layout(internode, *config, false);
    *window_bytes = layout.bytes();
    *private_bytes = ep4j::internode_state_layout(layout, *config).bytes();
    return EP4J_OK;
  });
}

ep4j_status ep4j_network_traffic(ep4j_buffer* buffer, int64_t wait_nanos,
                                 ep4j_network* network) {
  return guarded([&] {
    require_given(buffer, "buffer");
    require_struct(network, "network");
    return buffer->end.network(wait_nanos, *network) ? EP4J_OK : EP4J_PENDING;
  });
}
