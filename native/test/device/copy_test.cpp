// Copies of any alignment and length, several in one launch: every byte, and none beside.
#include <algorithm>

#include "world.hpp"

namespace ep4j::test {
namespace {

struct Piece {
  size_t from;
  size_t to;
  size_t bytes;
};

Case one_rank() {
  Case c;
  c.ranks = 1;
  c.tokens = {1};
  return c;
}

void copy(World& world, const std::vector<Piece>& pieces, int num_sms) {
  world.run([&](RankEnd& end) {
    size_t size = 256;
    for (const Piece& piece : pieces) {
      size = std::max({size, piece.from + piece.bytes + 64, piece.to + piece.bytes + 64});
    }
    std::vector<uint8_t> source(size);
    for (size_t i = 0; i < size; i++) {
      source[i] = static_cast<uint8_t>(mix(i, size));
    }
    std::vector<uint8_t> want(size, 0xA5);
    uint8_t* from = end.upload(source);
    uint8_t* to = end.upload(want);
    ep4j_copy_call call = {};
    call.struct_size = sizeof call;
    call.num_sms = num_sms;
    for (const Piece& piece : pieces) {
      call.from[call.count] = from + piece.from;
      call.to[call.count] = to + piece.to;
      call.bytes[call.count++] = static_cast<int64_t>(piece.bytes);
      std::copy_n(source.begin() + static_cast<ptrdiff_t>(piece.from), piece.bytes,
                  want.begin() + static_cast<ptrdiff_t>(piece.to));
    }
    ok(ep4j_copy(end.buffer, &call, end.stream), "copy");
    std::vector<uint8_t> got = end.download<uint8_t>(to, size);
    for (size_t i = 0; i < size; i++) {
      expect(got[i] == want[i], "byte ", i, " is ", int{got[i]}, " and not ", int{want[i]});
    }
  });
}

void refuse_bad_calls() {
  World world(one_rank());
  world.run([&](RankEnd& end) {
    ep4j_copy_call call = {};
    call.struct_size = sizeof call;
    auto refused = [&](const char* what) {
      expect(ep4j_copy(end.buffer, &call, end.stream) == EP4J_INVALID_ARGUMENT, what);
    };
    call.count = EP4J_MAX_COPIES + 1;
    refused("too many copies");
    call.count = 1;
    call.bytes[0] = 1;
    refused("copies from nowhere");
    call.bytes[0] = -1;
    refused("negative lengths");
    call.bytes[0] = 0;
    ok(ep4j_copy(end.buffer, &call, end.stream), "an empty copy");
    call.count = 0;
    ok(ep4j_copy(end.buffer, &call, end.stream), "no copy");
  });
}

}  // namespace

void copy_tests(Suite& suite) {
  suite.run("copy: every alignment of both ends, every length up to 70", [] {
    World world(one_rank());
    std::vector<Piece> pieces;
    size_t at = 0;
    for (size_t bytes : {0, 1, 2, 3, 5, 15, 16, 17, 31, 33, 48, 64, 70}) {
      pieces.push_back({at + bytes % 7, at + bytes % 5, bytes});
      at += 128;
    }
    for (size_t from = 0; from < 17; from++) {
      for (size_t to = 0; to < 17; to += 3) {
        std::vector<Piece> shifted = pieces;
        for (Piece& piece : shifted) {
          piece.from += from;
          piece.to += to;
        }
        copy(world, shifted, 2);
      }
    }
  });
  suite.run("copy: longer than a pass of the grid, with odd ends", [] {
    World world(one_rank());
    for (size_t apart : {0, 4, 1}) {
      copy(world,
           {{3, 3 + apart, 1'000'003}, {1'100'000, 1'200'000, 16}, {2, 1'300'001, 70'001}}, 3);
    }
  });
  suite.run("copy: sixteen pieces, default grid", [] {
    std::vector<Piece> pieces;
    for (size_t i = 0; i < EP4J_MAX_COPIES; i++) {
      pieces.push_back({i * 5000, i * 6000 + i, 4999});
    }
    World world(one_rank());
    copy(world, pieces, 0);
  });
  suite.run("copy: what is refused", refuse_bad_calls);
}

}  // namespace ep4j::test
