// Every layout's fields lie one after the other on whole lines, without overlap, and end at
// bytes().
#include <algorithm>
#include <vector>

#include "check.hpp"
#include "layout/buffer_memory.hpp"
#include "layout/control_layout.hpp"
#include "layout/handle_layout.hpp"
#include "layout/local_layout.hpp"
#include "layout/messages.hpp"
#include "layout/output_layout.hpp"
#include "layout/pinned_layout.hpp"
#include "layout/region_layout.hpp"
#include "layout/window_layout.hpp"

namespace ep4j::test {
namespace {

struct Field {
  std::string name;
  int64_t begin;
  int64_t bytes;
};

// Fields are given in any order; gaps of less than a line are alignment.
void expect_cover(std::vector<Field> fields, int64_t total) {
  std::stable_sort(fields.begin(), fields.end(),
                   [](const Field& a, const Field& b) { return a.begin < b.begin; });
  int64_t end = 0;
  std::string before = "the start";
  for (const Field& field : fields) {
    if (field.bytes == 0) {
      continue;
    }
    expect(field.begin >= end, field.name, " at ", field.begin, " overlaps ", before,
           ", which ends at ", end);
    expect(field.begin - end < kLineBytes, field.name, " leaves a gap of ", field.begin - end,
           " bytes after ", before);
    end = field.begin + field.bytes;
    before = field.name;
  }
  expect(end <= total && total - end < kLineBytes, "fields end at ", end, ", bytes() is ", total);
}

void control(int ranks, int experts, int regions, int outputs) {
  ControlLayout layout = {ranks, experts, regions, outputs};
  std::vector<Field> fields;
  const int64_t table = 4 * int64_t{experts};
  for (int writer = 0; writer < ranks; writer++) {
    for (uint64_t i = 0; i < ControlLayout::kCallRing; i++) {
      fields.push_back(
          {join("call ", i, " of ", writer), layout.call(i + 1, writer), sizeof(CallMessage)});
    }
    for (uint64_t i = 0; i < ControlLayout::kSendRing; i++) {
      fields.push_back({join("counts ", i, " of ", writer), layout.counts(i + 1, writer),
                        kCountsPerExpert + table});
      fields.push_back({join("grant ", i, " of ", writer), layout.grant(i + 1, writer),
                        kGrantExpertBase + table});
    }
    for (int i = 0; i < regions; i++) {
      fields.push_back({join("arrived ", i, " of ", writer), layout.arrived(i, writer), 8});
    }
    for (int i = 0; i < outputs; i++) {
      fields.push_back(
          {join("ready ", i, " of ", writer), layout.ready(i, writer), sizeof(ReadyMessage)});
      fields.push_back({join("read ", i, " of ", writer), layout.read(i, writer), 8});
    }
    fields.push_back(
        {join("failed of ", writer), layout.failed(writer), sizeof(FailureMessage)});
    fields.push_back({join("masked of ", writer), layout.masked(writer), 8});
  }
  for (const Field& field : fields) {
    expect(field.begin % kLineBytes == 0, field.name, " is not on a line: ", field.begin);
  }
  expect_cover(fields, layout.bytes());
}

void region(const RowForm& form, int ranks, int experts, int64_t rows) {
  RegionLayout layout = {form, ranks, experts, rows};
  const int64_t meta = form.has_metadata() ? rows : 0;
  const int64_t ranked = form.rank_major() ? meta * form.num_topk : 0;
  const int64_t by_expert = form.rank_major() ? 0 : meta;
  const int64_t once = form.has_metadata() ? 4 : 0;
  expect_cover({{"x", layout.x(), rows * form.row_bytes},
                {"scales", layout.scales(), rows * form.scale_words * 4},
                {"topk_idx", layout.topk_idx(), ranked * form.index_bytes},
                {"topk_weights", layout.topk_weights(), ranked * 4},
                {"weight", layout.weight(), by_expert * 4},
                {"source_rank", layout.source_rank(), by_expert * 4},
                {"topk_slot", layout.topk_slot(), by_expert * 4},
                {"source_token", layout.source_token(), meta * 4},
                {"rank_prefix", layout.rank_prefix(), once * ranks},
                {"expert_offsets", layout.expert_offsets(), once * (experts + 1)},
                {"tokens_per_expert", layout.tokens_per_expert(), once * experts},
                {"num_received", layout.num_received(), once}},
               layout.bytes());
}

void handle(int tokens, int topk, int ranks, int experts) {
  HandleLayout layout = {tokens, topk, ranks, experts};
  const int64_t choices = int64_t{tokens} * topk;
  const int64_t sources = int64_t{ranks} * experts;
  expect_cover({{"id", layout.id(), 8},
                {"num_received", layout.num_received(), 4},
                {"rows", layout.rows(), 4 * int64_t{tokens} * std::max(ranks, topk)},
                {"experts", layout.experts(), 4 * choices},
                {"weights", layout.weights(), 4 * choices},
                {"source_begin", layout.source_begin(), 4 * sources},
                {"source_count", layout.source_count(), 4 * sources},
                {"expert_offsets", layout.expert_offsets(), 4 * (int64_t{experts} + 1)},
                {"sent_rows", layout.sent_rows(), 4 * int64_t{ranks}},
                {"received_rows", layout.received_rows(), 4 * int64_t{ranks}}},
               layout.bytes());
}

void window(int64_t region_bytes, int64_t output_bytes, int64_t arena_bytes) {
  WindowLayout layout = {{3, 5, 2, 4}, region_bytes, output_bytes, arena_bytes};
  std::vector<Field> fields = {{"control", 0, layout.control.bytes()}};
  for (int i = 0; i < 2; i++) {
    fields.push_back({join("region ", i), layout.region(i), region_bytes});
  }
  for (int i = 0; i < 4; i++) {
    fields.push_back({join("output ", i), layout.output(i), output_bytes});
  }
  fields.push_back({"arena", layout.arena(), arena_bytes});
  expect_cover(fields, layout.bytes());
}

// rows_in() is the last number of rows whose region is no larger than the place.
void rows_of_places(const RowForm& form, int64_t most) {
  const RegionLayout layout = {form, 3, 5, most};
  for (int64_t bytes = 0; bytes < layout.bytes() + 4 * kLineBytes; bytes += 61) {
    int64_t want = -1;
    for (int64_t rows = 0; rows <= most && layout.with_rows(rows).bytes() <= bytes; rows++) {
      want = rows;
    }
    expect(layout.rows_in(bytes) == want, bytes, " bytes hold ", layout.rows_in(bytes), " and not ",
           want);
  }
}

// The sum of what a configuration's layouts take, spelled out.
void memory(int64_t region_bytes, int64_t output_bytes, int64_t arena_bytes) {
  ep4j_buffer_config config = {};
  config.num_ranks = 4;
  config.num_experts = 40;
  config.max_tokens = 100;
  config.max_topk = 6;
  config.num_regions = 3;
  config.num_outputs = 2;
  config.max_handles = 7;
  config.region_bytes = region_bytes;
  config.output_bytes = output_bytes;
  config.arena_bytes = arena_bytes;
  const BufferMemory bytes(config);
  const WindowLayout window = {{4, 10, 3, 2}, region_bytes, output_bytes, arena_bytes};
  expect(bytes.window.bytes() == window.bytes(), "window of ", bytes.window.bytes());
  expect(bytes.control_bytes() + bytes.dispatch_bytes() + bytes.combine_bytes() == window.bytes(),
         "the window's parts are all of it");
  expect(bytes.dispatch_bytes() == 3 * lines(region_bytes) + lines(arena_bytes), "regions of ",
         bytes.dispatch_bytes());
  expect(bytes.combine_bytes() == 2 * lines(output_bytes), "outputs of ", bytes.combine_bytes());
  expect(bytes.handle_bytes() == 7 * HandleLayout{100, 6, 4, 10}.bytes(), "handles of ",
         bytes.handle_bytes());
  expect(bytes.local.bytes() == LocalLayout{40}.bytes(), "state of ", bytes.local.bytes());
  expect(bytes.pinned.bytes() == PinnedLayout{10}.bytes(), "pinned ", bytes.pinned.bytes());
}

}  // namespace

void layout_tests(Suite& suite) {
  for (int ranks : {1, 2, 3, 8, 32}) {
    for (int experts : {1, 7, 32, 257}) {
      suite.run(join("control layout covers its bytes, ", ranks, " ranks, ", experts, " experts"),
                [=] { control(ranks, experts, 2, 3); });
      suite.run(join("handle layout covers its bytes, ", ranks, " ranks, ", experts, " experts"),
                [=] {
                  handle(1, 1, ranks, experts);
                  handle(4096, 8, ranks, experts);
                  handle(13, 32, ranks, experts);
                });
    }
  }
  for (int order : {EP4J_RANK_MAJOR, EP4J_EXPERT_MAJOR}) {
    for (int topk : {0, 1, 8, 32}) {
      for (int index_bytes : {4, 8}) {
        suite.run(join("region layout covers its bytes, order ", order, ", K ", topk, ", index ",
                       index_bytes),
                  [=] {
                    for (int64_t rows : {0, 1, 13, 4096, 1 << 20}) {
                      region({order, 14336, 0, topk, index_bytes}, 8, 32, rows);
                      region({order, 16, 3, topk, index_bytes}, 3, 1, rows);
                    }
                  });
      }
    }
  }
  suite.run("region layout is exact past 2 GiB", [] {
    RegionLayout layout = {{EP4J_RANK_MAJOR, 14336, 56, 8, 8}, 8, 32, 1 << 20};
    expect(layout.scales() == int64_t{14336} << 20, "scales at ", layout.scales());
  });
  suite.run("window layout covers its bytes", [] {
    window(0, 0, 0);
    window(1000, 1, 0);
    window(int64_t{5} << 30, int64_t{3} << 30, 0);
    window(0, 0, (int64_t{9} << 30) + 1);
  });
  suite.run("a buffer's memory is that of its layouts", [] {
    memory(1000, 70, 0);
    memory(int64_t{7} << 30, int64_t{5} << 30, 0);
    memory(0, 0, 1000001);
  });
  suite.run("a place holds as many rows as their region has bytes", [] {
    rows_of_places({EP4J_RANK_MAJOR, 528, 3, 6, 8}, 20);
    rows_of_places({EP4J_EXPERT_MAJOR, 16, 0, 6, 4}, 40);
    rows_of_places({EP4J_RANK_MAJOR, 16, 0, 0, 0}, 30);
    rows_of_places({EP4J_RANK_MAJOR, 16, 0, 0, 0}, 0);
  });
  suite.run("output layout covers its bytes", [] {
    for (int weights : {0, 1, 8}) {
      OutputLayout layout = {1000, 14336, weights};
      expect_cover({{"x", layout.x(), 1000 * 14336}, {"weights", layout.weights(), 4000 * weights}},
                   layout.bytes());
    }
  });
  suite.run("local layout covers its bytes", [] {
    LocalLayout layout = {256};
    expect_cover({{"state", layout.state(), sizeof(LocalState)},
                  {"tokens_per_expert", layout.tokens_per_expert(), 1024},
                  {"expert_base", layout.expert_base(), 1024}},
                 layout.bytes());
  });
  suite.run("pinned layout covers its bytes", [] {
    PinnedLayout layout = {33};
    expect_cover({{"fault", layout.fault(), sizeof(FaultRecord)},
                  {"masked", layout.masked(), 4 * kMaxRanks},
                  {"layout", layout.layout(), sizeof(LayoutReport)},
                  {"drop", layout.drop(), sizeof(FaultRecord)},
                  {"undelivered", layout.undelivered(), 8},
                  {"late", layout.late(), 4 * kMaxRegions},
                  {"standing", layout.standing(), sizeof(StandingRecord)},
                  {"network", layout.network(), sizeof(NodeTraffic) * kMaxRanks},
                  {"counts", layout.counts(), kHostCountsPerExpert + 4 * 33}},
                 layout.bytes());
  });
  suite.run("arrival words give back what was put in", [] {
    for (uint64_t epoch : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 40}) {
      for (int verdict : {EP4J_SENT, EP4J_OVERFLOW, EP4J_REFUSED, EP4J_ABORTED}) {
        uint64_t word = Arrival::word(epoch, verdict);
        expect(Arrival::epoch(word) == epoch && Arrival::verdict(word) == verdict, "word ", word);
      }
    }
  });
}

}  // namespace ep4j::test
