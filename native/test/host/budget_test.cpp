// Shapes of the wide kernels fit one multiprocessor, for every row length that is allowed.
#include "launch/budget.hpp"

#include "check.hpp"

namespace ep4j::test {
namespace {

constexpr int kHopperShared = 232448;  // a block's largest shared memory there
constexpr int kAmpereShared = 101376;  // the smallest among devices of the load/store path

void send(int row_bytes, bool cast) {
  SendShape bulk = bulk_send_shape(row_bytes, cast, kHopperShared);
  expect(bulk.warps >= 1 && bulk.warps <= 16, bulk.warps, " warps");
  expect(bulk.stages >= (cast ? 2 : 3) && bulk.stages <= kMaxStages, bulk.stages, " stages");
  expect(bulk.chunk_bytes >= 16 && bulk.chunk_bytes <= bulk.stage_bytes, "chunk ", bulk.chunk_bytes,
         " of stage ", bulk.stage_bytes);
  expect(bulk.stage_bytes % kLineBytes == 0, "stage of ", bulk.stage_bytes);
  expect(bulk.shared_bytes + kTableBytes <= kHopperShared, bulk.shared_bytes, " bytes");
  SendShape plain = plain_send_shape(row_bytes, cast);
  expect(plain.shared_bytes + kTableBytes <= kAmpereShared, plain.shared_bytes, " bytes");
  if (cast) {
    expect(row_bytes <= bulk.chunk_bytes || bulk.chunk_bytes % 1024 == 0,
           "a chunk must hold whole packs of four groups: ", bulk.chunk_bytes);
  }
}

void pull(int row_bytes) {
  PullShape bulk = pull_shape(row_bytes, true, kHopperShared);
  expect(bulk.slots >= 2 && bulk.slots <= kMaxStages, bulk.slots, " slots");
  expect(bulk.chunk_bytes == bulk.vectors * 512, "chunk ", bulk.chunk_bytes);
  expect(bulk.shared_bytes + kTableBytes <= kHopperShared, bulk.shared_bytes, " bytes");
  expect(pull_shape(row_bytes, false, kAmpereShared).shared_bytes == 0, "no shared memory");
}

}  // namespace

void budget_tests(Suite& suite) {
  suite.run("shapes fit for every row length", [] {
    for (int row_bytes = 16; row_bytes <= 1 << 17; row_bytes += 16) {
      send(row_bytes, false);
      pull(row_bytes);
      if (row_bytes % 256 == 0) {
        send(row_bytes, true);
      }
    }
  });
  suite.run("7,168 BF16 channels: warps, stages, slots and vectors", [] {
    SendShape send = bulk_send_shape(14336, false, kHopperShared);
    expect(send.warps == 5 && send.stages == 3, send.warps, " warps, ", send.stages, " stages");
    SendShape cast = bulk_send_shape(14336, true, kHopperShared);
    expect(cast.warps == 13 && cast.stages == 2, cast.warps, " warps, ", cast.stages, " stages");
    PullShape pull = pull_shape(14336, true, kHopperShared);
    expect(pull.vectors == 7, pull.vectors, " vectors");
    expect(pull.warps == 16 && pull.slots == 3, pull.warps, " warps, ", pull.slots, " slots");
  });
}

}  // namespace ep4j::test
