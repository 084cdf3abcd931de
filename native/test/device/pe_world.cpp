#include "pe_world.hpp"

#include <algorithm>

namespace ep4j::test {

void start_nvshmem(PeGroup& group) {
  ep4j_nvshmem_id id = {};
  if (group.rank() == 0) {
    ok(ep4j_nvshmem_create_id(&id), "making the unique id");
  }
  id = group.exchange(id)[0];
  ep4j_nvshmem_config config = {};
  config.struct_size = sizeof config;
  config.rank = group.rank();
  config.num_ranks = group.ranks();
  config.service_level = -1;
  config.ibgda = -1;
  config.heap_bytes = int64_t{4} << 30;
  config.release_timeout_nanos = 3'000'000'000;
  ok(ep4j_nvshmem_start(&config, &id), "starting NVSHMEM");
}

PeWorld::PeWorld(PeGroup& group, const Case& c, const ep4j_low_latency_config* low_latency,
                 const Options& options)
    : group_(group) {
  const ep4j_buffer_config config =
      buffer_config(c, group.rank(), 2, 2, options.mask_on_timeout);
  ep4j_nvshmem_window window = {};
  window.struct_size = sizeof window;
  window.force_remote = options.force_remote;
  const ep4j_internode_config nodes = internode_config(c, group.rank());
  const ep4j_internode_config* internode = c.nodes() > 1 ? &nodes : nullptr;
  ok(ep4j_nvshmem_window_bytes_internode(&config, low_latency, internode, &window.bytes),
     "sizing the window");
  const std::vector<int64_t> all_bytes = group.exchange(window.bytes);
  window.bytes = *std::max_element(all_bytes.begin(), all_bytes.end());
  ep4j_buffer* buffer = nullptr;
  ok(ep4j_nvshmem_buffer_create_internode(&config, low_latency, internode, &window, &buffer),
     "making a buffer");
  end_ = std::make_unique<RankEnd>(group.rank(), 0, buffer, options.scratch_bytes);
  ep4j_window_name name = {};
  ok(ep4j_buffer_window(buffer, &name), "naming the window");
  const std::vector<ep4j_window_name> names = group.exchange(name);
  ok(ep4j_buffer_connect(buffer, names.data()), "connecting");
  group.meet();
}

PeWorld::~PeWorld() {
  try {
    if (end_ != nullptr && end_->buffer != nullptr) {
      ep4j_buffer_disconnect(end_->buffer);
      group_.meet();
    }
    end_.reset();
  } catch (const std::exception& error) {
    std::printf("PE %d, closing: %s\n", group_.rank(), error.what());
  }
}

void PeWorld::run(const std::function<void(RankEnd&)>& body) {
  std::string failure;
  try {
    end_->scratch.reset();
    body(*end_);
    end_->sync();
  } catch (const std::exception& error) {
    failure = error.what();
  }
  const std::string failures = group_.join_failures(failure);
  expect(failures.empty(), failures);
}

void PeWorld::close(bool abandon_window) {
  ok(ep4j_buffer_disconnect(end_->buffer), "disconnecting");
  ok(ep4j_buffer_destroy(end_->buffer, abandon_window), "destroying");
  end_->buffer = nullptr;
  if (!abandon_window) {
    end_.release();  // see the header
  }
}

}  // namespace ep4j::test
