// The dispatch layout against plain counting.
#include "world.hpp"

namespace ep4j::test {
namespace {

void layout(const Case& c) {
  World world(c);
  std::vector<RankInput> inputs = make_inputs(c, 0);
  world.run([&](RankEnd& end) {
    const RankInput& input = inputs[static_cast<size_t>(end.rank)];
    const size_t tokens = static_cast<size_t>(c.tokens[static_cast<size_t>(end.rank)]);
    const size_t ranks = static_cast<size_t>(c.ranks);
    const size_t experts = static_cast<size_t>(c.experts);
    DeviceInput device = upload_input(end, c, input);
    ep4j_layout_call call = {};
    call.struct_size = sizeof call;
    call.topk_idx = device.topk_idx;
    call.tokens_per_rank = end.upload(std::vector<int32_t>(ranks, -7));
    call.tokens_per_expert = end.upload(std::vector<int32_t>(experts, -7));
    call.is_token_in_rank = end.upload(std::vector<uint8_t>(tokens * ranks, 7));
    call.num_tokens = static_cast<int32_t>(tokens);
    call.num_topk = c.topk;
    call.index_bytes = c.index_bytes;
    ok(ep4j_layout(end.buffer, &call, end.stream), "layout");

    std::vector<int32_t> per_rank(ranks, 0);
    std::vector<int32_t> per_expert(experts, 0);
    std::vector<uint8_t> in_rank(tokens * ranks, 0);
    for (size_t i = 0; i < input.topk_idx.size(); i++) {
      if (input.topk_idx[i] >= 0) {
        size_t expert = static_cast<size_t>(input.topk_idx[i]);
        per_expert[expert]++;
        in_rank[i / static_cast<size_t>(c.topk) * ranks +
                expert / static_cast<size_t>(c.local_experts())] = 1;
      }
    }
    for (size_t i = 0; i < in_rank.size(); i++) {
      per_rank[i % ranks] += in_rank[i];
    }
    expect(end.download<int32_t>(call.tokens_per_rank, ranks) == per_rank, "tokens per rank");
    expect(end.download<int32_t>(call.tokens_per_expert, experts) == per_expert,
           "tokens per expert");
    expect(end.download<uint8_t>(call.is_token_in_rank, in_rank.size()) == in_rank,
           "is token in rank");
  });
}

}  // namespace

void layout_call_tests(Suite& suite) {
  for (int index_bytes : {4, 8}) {
    Case c;
    c.ranks = 4;
    c.experts = 64;
    c.topk = 8;
    c.tokens = {0, 1, 1024, 2500};
    c.index_bytes = index_bytes;
    suite.run("layout: " + c.describe(), [=] { layout(c); });
  }
}

}  // namespace ep4j::test
