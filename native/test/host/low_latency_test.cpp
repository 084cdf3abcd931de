// Low-latency mode where no device is needed: every layout's fields lie one after the other without
// overlap and end at bytes(); shapes fit a multiprocessor; LogFMT-10's values.
#include <algorithm>
#include <cmath>
#include <vector>

#include "check.hpp"
#include "device/numeric/fp8_scale.hpp"
#include "device/numeric/log_fmt10.hpp"
#include "launch/low_latency_budget.hpp"
#include "layout/low_latency_layout.hpp"
#include "layout/low_latency_state.hpp"
#include "layout/window_layout.hpp"

namespace ep4j::test {
namespace {

struct Field {
  std::string name;
  int64_t begin;
  int64_t bytes;
};

// Fields are given in order; gaps of less than a line are alignment.
void expect_cover(const std::vector<Field>& fields, int64_t total) {
  int64_t end = 0;
  std::string before = "the start";
  for (const Field& field : fields) {
    expect(field.begin >= end, field.name, " at ", field.begin, " overlaps ", before,
           ", which ends at ", end);
    expect(field.begin % kLineBytes == 0, field.name, " is not on a line: ", field.begin);
    expect(field.begin - end < kLineBytes, field.name, " leaves a gap of ", field.begin - end,
           " bytes after ", before);
    end = field.begin + field.bytes;
    before = field.name;
  }
  expect(end <= total && total - end < kLineBytes, "fields end at ", end, ", bytes() is ", total);
}

std::vector<Field> control_fields(const LowLatencyLayout& layout) {
  const int64_t table = 4 * int64_t{layout.local_experts};
  std::vector<Field> fields;
  auto add = [&](const char* name, int rows, auto offset, int64_t bytes) {
    for (int row = 0; row < rows; row++) {
      for (int writer = 0; writer < layout.num_ranks; writer++) {
        fields.push_back({join(name, " ", row, " of ", writer), offset(row, writer), bytes});
      }
    }
  };
  add("landed", layout.inboxes, [&](int i, int w) { return layout.landed(i, w); },
      kLandedCounts + table);
  add("emptied", layout.inboxes, [&](int i, int w) { return layout.emptied(i, w); }, 8);
  add("ready", layout.outputs, [&](int i, int w) { return layout.ready(i, w); },
      kReadyBegins + table);
  add("read", layout.outputs, [&](int i, int w) { return layout.read(i, w); }, 8);
  return fields;
}

// What there is only with a network between ranks.
void add_network(const LowLatencyLayout& layout, int64_t rows, int64_t ranges,
                 std::vector<Field>& fields) {
  auto add_words = [&](const char* name, int count, auto offset) {
    for (int i = 0; i < count; i++) {
      for (int writer = 0; writer < layout.num_ranks; writer++) {
        fields.push_back({join(name, " ", i, " of ", writer), offset(i, writer), 8});
      }
    }
  };
  add_words("arrivals", layout.inboxes, [&](int i, int w) { return layout.arrivals(i, w); });
  add_words("returned", layout.outputs, [&](int i, int w) { return layout.returned(i, w); });
  fields.push_back({"outbox", layout.counters_end(), layout.control_bytes()});
  const int last = layout.num_ranks - 1;
  expect(layout.landed_outbox(0, 0) == layout.counters_end(), "the outbox begins with landed");
  expect(layout.ready_outbox(layout.outputs - 1, last) + layout.ready_bytes() <=
             layout.counters_end() + layout.control_bytes(),
         "ready lies in the outbox");
  for (int i = 0; i < layout.inboxes; i++) {
    fields.push_back({"messages", layout.message(i, 0), layout.max_tokens * layout.slot_bytes()});
  }
  const int experts = layout.num_ranks * layout.local_experts;
  expect(layout.return_row(experts - 1, layout.max_tokens - 1) == rows - 1,
         "each expert's rows have their place in the returns");
  for (int i = 0; i < layout.outputs; i++) {
    fields.push_back({"returned y", layout.returns(i) + layout.y(), rows * 2 * layout.hidden});
    if (ranges > 0) {
      fields.push_back({"returned ranges", layout.returns(i) + layout.ranges(), rows * ranges});
    }
  }
}

void layout_covers(const LowLatencyLayout& layout) {
  std::vector<Field> fields = control_fields(layout);
  const int64_t hidden = layout.hidden;
  const int64_t rows = int64_t{layout.num_ranks} * layout.local_experts * layout.max_tokens;
  const int64_t scales = hidden % 128 == 0 ? hidden / 128 : 0;
  const int64_t ranges = hidden % 512 == 0 ? hidden / 128 * 4 : 0;
  for (int i = 0; i < layout.inboxes; i++) {
    fields.push_back({join("inbox ", i), layout.inbox(i), rows * layout.slot_bytes()});
    expect(layout.slot(i, 0, 0, 0) == layout.inbox(i), "the first slot is the inbox's beginning");
    const int64_t last = layout.slot(i, layout.local_experts - 1, layout.num_ranks - 1,
                                     layout.max_tokens - 1);
    expect(last + layout.slot_bytes() == layout.inbox(i + 1), "the last slot ends with the inbox");
  }
  for (int i = 0; i < layout.regions; i++) {
    const int64_t base = layout.region(i);
    fields.push_back({"x", base + layout.x(), rows * 2 * hidden});
    if (scales > 0) {
      fields.push_back({"scales", base + layout.scales(), rows * scales * 4});
    }
    fields.push_back({"source_info", base + layout.source_info(), rows * 4});
    fields.push_back({"layout_range", base + layout.layout_range(),
                      int64_t{8} * layout.local_experts * layout.num_ranks});
    fields.push_back({"count", base + layout.count(), int64_t{4} * layout.local_experts});
  }
  for (int i = 0; i < layout.outputs; i++) {
    fields.push_back({"y", layout.output(i) + layout.y(), rows * 2 * hidden});
    if (ranges > 0) {
      fields.push_back({"ranges", layout.output(i) + layout.ranges(), rows * ranges});
    }
  }
  if (layout.has_network) {
    add_network(layout, rows, ranges, fields);
  }
  expect_cover(fields, layout.bytes());
}

// Every message that a call may send fits its slot.
void slot_holds_messages(int hidden) {
  const LowLatencyLayout layout = {2, 1, 1, hidden, 1, 1, 1};
  expect(MessageForm{2 * hidden, 0}.bytes() <= layout.slot_bytes(), "BF16 of ", hidden);
  for (int cast : {EP4J_CAST_PLAIN, EP4J_CAST_ROUNDED, EP4J_CAST_UE8M0}) {
    if (hidden % 128 == 0) {
      MessageForm form = {hidden, fp8_scale_words(hidden, cast)};
      expect(form.bytes() <= layout.slot_bytes(), "cast ", cast, " of ", hidden);
      expect(form.token() % 16 == 0 && form.token() >= form.scales() + 4 * form.scale_words,
             "the token lies behind the scales, hidden ", hidden);
    }
  }
}

void state_covers(int ranks, int experts, int tokens, int topk) {
  const LowLatencyStateLayout layout = {ranks, experts, tokens, topk, 3};
  std::vector<Field> fields = {{"state", layout.state(), sizeof(LowLatencyState)}};
  const int64_t choices = int64_t{4} * tokens * topk;
  for (int i = 0; i < 3; i++) {
    fields.push_back({"experts", layout.experts(i), choices});
    fields.push_back({"ordinals", layout.ordinals(i), choices});
    fields.push_back({"begins", layout.begins(i), int64_t{4} * ranks * experts});
    fields.push_back({"counts", layout.counts(i), int64_t{4} * experts});
  }
  expect_cover(fields, layout.bytes());
}

void shape_fits(int row_bytes, int experts) {
  constexpr int kHopperShared = 232448;
  constexpr int kAmpereShared = 101376;
  const MessageForm form = {row_bytes, 0};
  for (bool bulk : {true, false}) {
    const int limit = bulk ? kHopperShared : kAmpereShared;
    const LowLatencyShape shape = low_latency_shape(form, experts, bulk, limit);
    expect(shape.shared_bytes + kLowLatencyTableBytes <= limit, shape.shared_bytes, " bytes");
    expect(shape.stages >= 2 && shape.stages <= (bulk ? kLowLatencyWarps : 2), shape.stages,
           " stages of ", row_bytes, " bytes");
    expect(shape.stage_bytes >= form.bytes() && shape.stage_bytes % kLineBytes == 0, "stage of ",
           shape.stage_bytes);
    expect(shape.table_bytes >= 4 * experts && shape.table_bytes % kLineBytes == 0, "table of ",
           shape.table_bytes);
  }
}

struct Logarithms {
  double table[kBf16Significands];
  Logarithms() {
    for (int i = 0; i < kBf16Significands; i++) {
      table[i] = std::log2(i / 128.0);
    }
  }
};

// The examples of semantics.md, section 6.3.
void log_fmt_examples() {
  const Logarithms logs;
  const uint32_t amax = bf16_from_float(0.5f);
  const uint32_t amin = bf16_from_float(std::ldexp(1.0f, -10));
  const LogFmtEncoding encoding(amax, amin, logs.table);
  const LogFmtDecoding decoding(amax, amin, logs.table);
  struct Example {
    float value;
    uint32_t code;
    float decoded;
  };
  // The specification's 0.1 is no BF16 value, and the next one lies behind the code's boundary.
  expect(std::fabs(decoding.value(379, false) - 0.0994826f) <= 1e-7f, "code 379");
  for (const Example& e : {Example{0.5f, 511, 0.5f}, Example{0.25f, 454, 0.248983f},
                           Example{0x1p-10f, 1, 0x1p-10f}, Example{0.0f, 0, 0.0f}}) {
    const uint32_t code = encoding.code(bf16_from_float(e.value), logs.table);
    expect(code == e.code, e.value, " gives code ", code, ", not ", e.code);
    const float decoded = decoding.value(code, false);
    expect(std::fabs(decoded - e.decoded) <= 3e-6f * e.decoded, e.value, " decodes to ", decoded);
    expect(decoding.value(code, true) == -decoded, "the sign is kept");
  }
}

// Codes rise with the value, reach from 1 to 511, and lie within half a step of it.
void log_fmt_is_close(uint32_t amax, uint32_t amin) {
  const Logarithms logs;
  const LogFmtEncoding encoding(amax, amin, logs.table);
  const LogFmtDecoding decoding(amax, amin, logs.table);
  expect(encoding.code(amax, logs.table) == 511, "the largest value has code 511");
  uint32_t before = 0;
  for (uint32_t magnitude = amin; magnitude <= amax; magnitude++) {
    const uint32_t code = encoding.code(magnitude, logs.table);
    expect(code >= before && code <= 511, "code ", code, " after ", before);
    before = code;
    const double value = bf16_to_float(magnitude);
    const double limit = value * (std::exp2(decoding.step) - 1) + value * 1e-5;
    if (code > 0) {
      expect(std::fabs(decoding.value(code, false) - value) <= limit, value, " decodes to ",
             decoding.value(code, false));
    }
  }
}

}  // namespace

void low_latency_tests(Suite& suite) {
  for (int ranks : {1, 2, 3, 8, 32}) {
    for (int experts : {1, 7, 32}) {
      suite.run(join("low-latency layout covers its bytes, ", ranks, " ranks, ", experts,
                     " local experts"),
                [=] {
                  for (int hidden : {8, 136, 384, 512, 7168}) {
                    layout_covers({ranks, experts, 1, hidden, 2, 2, 2});
                    layout_covers({ranks, experts, 13, hidden, 1, 3, 4});
                    layout_covers({ranks, experts, 13, hidden, 2, 2, 3, true});
                    layout_covers({ranks, experts, 4096, hidden, 2, 2, 2});
                  }
                  state_covers(ranks, experts, 1, 1);
                  state_covers(ranks, experts, 4096, 32);
                });
    }
  }
  suite.run("low-latency layout is empty without the mode", [] {
    expect(LowLatencyLayout{}.bytes() == 0, "bytes ", LowLatencyLayout{}.bytes());
    const LowLatencyLayout low = {2, 2, 5, 64, 2, 2, 2};
    const WindowLayout window = {{2, 2, 2, 2}, 1000, 1, 0, low.bytes()};
    const WindowLayout other = {{2, 2, 2, 2}, 5000, 7, 0, low.bytes()};
    expect(window.low_latency() == other.low_latency(), "it lies where it does on all ranks");
    expect(window.region(0) == window.low_latency() + low.bytes(), "regions follow");
  });
  suite.run("a slot holds every message", [] {
    for (int hidden = 8; hidden <= 1 << 15; hidden += 8) {
      slot_holds_messages(hidden);
    }
  });
  suite.run("low-latency shapes fit for rows up to 44 KiB", [] {
    for (int row_bytes = 16; row_bytes <= 44 * 1024; row_bytes += 16) {
      shape_fits(row_bytes, 64);
      shape_fits(row_bytes, 1024);
    }
    expect(low_latency_shape({120 * 1024, 0}, 64, true, 232448).stages < 2, "too long a row");
  });
  suite.run("tokens are cut into parts only where blocks would idle", [] {
    expect(low_latency_parts(0, 66, 896) == 1 && low_latency_parts(64, 66, 896) == 1 &&
               low_latency_parts(128, 66, 896) == 1,
           "one part");
    expect(low_latency_parts(16, 66, 896) == 3, "parts ", low_latency_parts(16, 66, 896));
    expect(low_latency_parts(1, 132, 8) == 1, "a short row stays whole");
  });
  suite.run("LogFMT-10: the examples of the specification", [] { log_fmt_examples(); });
  suite.run("LogFMT-10: every magnitude of a range decodes to its neighbourhood", [] {
    log_fmt_is_close(bf16_from_float(0.99f), bf16_from_float(0.01f));
    log_fmt_is_close(bf16_from_float(1e-3f), bf16_from_float(1e-5f));
    log_fmt_is_close(bf16_from_float(0.75f), 1);
  });
}

}  // namespace ep4j::test
