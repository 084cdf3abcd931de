// The dispatch layout against plain counting.
#include <algorithm>

#include "world.hpp"

namespace ep4j::test {
namespace {

void expect_verdict(RankEnd& end, uint64_t ticket, int rule, int token, int64_t value) {
  ep4j_layout_verdict verdict = {};
  verdict.struct_size = sizeof verdict;
  expect(ep4j_layout_told(end.buffer, ticket + 1, &verdict) == EP4J_PENDING, "a later ticket");
  end.sync();
  ok(ep4j_layout_told(end.buffer, ticket, &verdict), "the verdict");
  expect(verdict.rule == rule && verdict.token == token && verdict.value == value, "rule ",
         verdict.rule, ", token ", verdict.token, ", value ", verdict.value, ", not ", rule, ", ",
         token, ", ", value);
}

// A choice that is bad, and where it lies.
struct Mistake {
  int token;
  int k;
  int64_t value;
  int rule;
};

// The first mistake is told, wherever the others lie.
void refuse(int index_bytes) {
  constexpr int kTokens = 3000;
  constexpr int kTopk = 5;
  Case c;
  c.ranks = 1;
  c.experts = 40;
  c.topk = kTopk;
  c.tokens = {kTokens};
  World world(c);
  const std::vector<std::vector<Mistake>> cases = {
      {{0, 0, 40, EP4J_ROUTING_OUT_OF_RANGE}},
      {{2999, 4, -2, EP4J_ROUTING_OUT_OF_RANGE}},
      {{1024, 3, 6, EP4J_ROUTING_TWICE}},
      {{5, 1, 1 << 30, EP4J_ROUTING_OUT_OF_RANGE}},
      {{2047, 4, 6, EP4J_ROUTING_TWICE}, {2048, 0, -9, EP4J_ROUTING_OUT_OF_RANGE}},
      {{7, 2, 41, EP4J_ROUTING_OUT_OF_RANGE}, {1030, 2, 6, EP4J_ROUTING_TWICE}},
  };
  world.run([&](RankEnd& end) {
    uint64_t ticket = 1;
    for (const std::vector<Mistake>& mistakes : cases) {
      std::vector<int64_t> wide(kTokens * kTopk);
      for (size_t i = 0; i < wide.size(); i++) {
        wide[i] = i % kTopk == 0 ? 6 : static_cast<int64_t>(i % kTopk) + 10;
      }
      for (const Mistake& mistake : mistakes) {
        wide[static_cast<size_t>(mistake.token * kTopk + mistake.k)] = mistake.value;
      }
      std::vector<int32_t> narrow(wide.begin(), wide.end());
      ep4j_layout_call call = {};
      call.struct_size = sizeof call;
      call.topk_idx = index_bytes == 8 ? static_cast<const void*>(end.upload(wide))
                                       : static_cast<const void*>(end.upload(narrow));
      call.tokens_per_rank = end.upload(std::vector<int32_t>(1));
      call.tokens_per_expert = end.upload(std::vector<int32_t>(40));
      call.num_tokens = kTokens;
      call.num_topk = kTopk;
      call.index_bytes = index_bytes;
      call.ticket = ++ticket;
      ok(ep4j_layout(end.buffer, &call, end.stream), "layout");
      const Mistake& first = mistakes[0];
      expect_verdict(end, ticket, first.rule, first.token, first.value);
    }
  });
}

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
    call.tokens_per_node = end.upload(std::vector<int32_t>(1, -7));
    call.tokens_per_expert = end.upload(std::vector<int32_t>(experts, -7));
    call.is_token_in_rank = end.upload(std::vector<uint8_t>(tokens * ranks, 7));
    call.num_tokens = static_cast<int32_t>(tokens);
    call.num_topk = c.topk;
    call.index_bytes = c.index_bytes;
    call.ticket = 17;
    ok(ep4j_layout(end.buffer, &call, end.stream), "layout");
    expect_verdict(end, 17, EP4J_ROUTING_GOOD, 0, 0);

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
    int32_t anywhere = 0;
    for (size_t token = 0; token < tokens; token++) {
      auto begin = in_rank.begin() + static_cast<ptrdiff_t>(token * ranks);
      anywhere += std::count(begin, begin + static_cast<ptrdiff_t>(ranks), 1) > 0 ? 1 : 0;
    }
    expect(end.download<int32_t>(call.tokens_per_node, 1)[0] == anywhere, "tokens per node");
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
    suite.run(join("layout: refusals, index of ", index_bytes, " bytes"),
              [=] { refuse(index_bytes); });
  }
}

}  // namespace ep4j::test
