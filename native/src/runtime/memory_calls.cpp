// Calls that concern memory of this rank only: places of regions and outputs, copies.
#include "kernels/normal/copy_pieces.hpp"
#include "runtime/buffer.hpp"

namespace ep4j {

RegionState& Buffer::region_state(int region) {
  require(region >= 0 && region < config_.num_regions, "region must be from 0 to ",
          config_.num_regions - 1, ": ", region);
  return regions_[static_cast<size_t>(region)];
}

RegionState& Buffer::free_region(int region) {
  RegionState& state = region_state(region);
  require(!state.open, "region must be free: the result in ", region, " was not released");
  return state;
}

OutputState& Buffer::free_output(int output) {
  require(output >= 0 && output < config_.num_outputs, "output must be from 0 to ",
          config_.num_outputs - 1, ": ", output);
  OutputState& state = outputs_[static_cast<size_t>(output)];
  require(!state.pending, "output must be free: the combine in ", output, " was not received");
  return state;
}

// What lies at a place may still be read by peers, if an output was there. So in an arena nothing
// is written before every output has been read, which needs this rank to have issued its own
// reading.
uint32_t Buffer::arena_outputs() const { return is_arena() ? (1u << config_.num_outputs) - 1 : 0; }

// A region, and the released ones whose last place overlaps its place: who was let into them and
// masked before it wrote may still write there.
uint64_t Buffer::regions_at(int region) const {
  const Place& place = regions_[static_cast<size_t>(region)].place;
  uint64_t regions = uint64_t{1} << region;
  for (int other = 0; is_arena() && other < config_.num_regions; other++) {
    const RegionState& state = regions_[static_cast<size_t>(other)];
    regions |= !state.open && place.overlaps(state.place) ? uint64_t{1} << other : 0;
  }
  return regions;
}

void Buffer::require_outputs_received() const {
  for (int i = 0; is_arena() && i < config_.num_outputs; i++) {
    require(!outputs_[static_cast<size_t>(i)].pending,
            "in an arena combines must be received before the next call: the one in ", i,
            " was not");
  }
}

Place Buffer::checked_place(int64_t offset, int64_t bytes) const {
  require(is_arena(), "places can be chosen in an arena only, and this buffer has none");
  require(offset >= 0 && offset % kLineBytes == 0 && bytes >= 0 &&
              bytes <= lines(config_.arena_bytes) - offset,
          "a place must begin at a multiple of ", kLineBytes, " bytes and lie in the arena of ",
          config_.arena_bytes, ": ", bytes, " bytes at ", offset);
  const Place place = {layout_.arena() + offset, bytes};
  for (int i = 0; i < config_.num_regions; i++) {
    const RegionState& other = regions_[static_cast<size_t>(i)];
    require(!other.open || !place.overlaps(other.place), "a place must be free: ", bytes,
            " bytes at ", offset, " overlap region ", i);
  }
  for (int i = 0; i < config_.num_outputs; i++) {
    const OutputState& other = outputs_[static_cast<size_t>(i)];
    require(!(other.handed_out || other.pending) || !place.overlaps(other.place),
            "a place must be free: ", bytes, " bytes at ", offset, " overlap output ", i);
  }
  return place;
}

void Buffer::place_region(int region, int64_t offset, int64_t bytes) {
  RegionState& state = free_region(region);
  state.place = checked_place(offset, bytes);
}

void Buffer::place_output(int output, int64_t offset, int64_t bytes) {
  OutputState& state = free_output(output);
  state.handed_out = false;
  state.place = checked_place(offset, bytes);
}

void Buffer::settle_region(int region, int64_t rows, ep4j_dispatch_result& result) {
  RegionState& state = region_state(region);
  require(state.open && !state.received && !state.settled,
          "region must hold an exact dispatch of an arena, not yet received: ", region);
  require(rows >= 0 && rows <= state.layout.rows, "rows must be from 0 to ", state.layout.rows,
          ": ", rows);
  state.layout = state.layout.with_rows(rows);
  state.place.bytes = lines(state.layout.bytes());
  state.settled = true;
  describe_result(state, result);
}

void Buffer::describe_result(const RegionState& region, ep4j_dispatch_result& result) const {
  char* base = window_->get() + region.place.offset;
  const RegionLayout& layout = region.layout;
  const bool there = region.settled;
  const bool counted = there && layout.form.has_metadata();
  const bool rank_major = counted && layout.form.rank_major();
  const bool expert_major = counted && !layout.form.rank_major();
  auto bytes = [&](bool has, int64_t offset) { return has ? base + offset : nullptr; };
  auto floats = [&](bool has, int64_t offset) {
    return reinterpret_cast<float*>(bytes(has, offset));
  };
  auto ints = [&](bool has, int64_t offset) {
    return reinterpret_cast<int32_t*>(bytes(has, offset));
  };
  result.x = bytes(there, layout.x());
  result.scales = bytes(there && layout.form.scale_words > 0, layout.scales());
  result.topk_idx = bytes(rank_major, layout.topk_idx());
  result.topk_weights = floats(rank_major, layout.topk_weights());
  result.source_token = ints(counted, layout.source_token());
  result.rank_prefix = ints(rank_major, layout.rank_prefix());
  result.expert_offsets = ints(expert_major, layout.expert_offsets());
  result.weight = floats(expert_major, layout.weight());
  result.source_rank = ints(expert_major, layout.source_rank());
  result.topk_slot = ints(expert_major, layout.topk_slot());
  result.tokens_per_expert = ints(counted, layout.tokens_per_expert());
  result.num_received = ints(counted, layout.num_received());
}

void Buffer::copy(const ep4j_copy_call& call, cudaStream_t stream) const {
  check_stream(stream);
  require(call.count >= 0 && call.count <= kMaxPieces, "count must be from 0 to ", kMaxPieces, ": ",
          call.count);
  CopyParams params = {};
  for (int i = 0; i < call.count; i++) {
    require(call.bytes[i] >= 0, "bytes must not be negative: ", call.bytes[i], " of copy ", i);
    require(call.bytes[i] == 0 || (call.from[i] != nullptr && call.to[i] != nullptr),
            "from and to must be given: copy ", i);
    params.add(call.from[i], call.to[i], call.bytes[i]);
  }
  const int blocks = num_blocks(call.num_sms);
  DeviceScope scope(config_.device);
  check(launch_copy_pieces(params, blocks, stream), "launching a copy");
}

}  // namespace ep4j
