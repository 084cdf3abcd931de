// Copy pieces: several copies in one launch, any alignment, any length.
//
//   grid   as many blocks as the call gives multiprocessors; nobody waits for a peer
//   piece  words of the largest size at which both places are aligned alike, and bytes before the
//          first word and after the last one
//
// A kernel and not cudaMemcpyAsync: copy engines have few queues, which the ranks of a process
// share. A copy that waits there behind its stream's kernel, which waits for a peer, would hold up
// copies of other ranks, and with them what this rank waits for (seen as timeouts of device tests
// on an H100).
#include "kernels/normal/copy_pieces.hpp"

#include "device/load_kernels.cuh"

namespace ep4j {
namespace {

constexpr int kThreads = 512;
constexpr int kWords = 4;  // per thread in flight

// This thread's share of a piece; its places are aligned alike, modulo the size of a word.
template <class Word>
__device__ void copy_words(const CopyPiece& piece, int64_t first, int64_t step) {
  constexpr int64_t kBytes = sizeof(Word);
  const int64_t misaligned = static_cast<int64_t>(reinterpret_cast<uint64_t>(piece.to) % kBytes);
  const int64_t head = min(misaligned == 0 ? 0 : kBytes - misaligned, piece.bytes);
  const int64_t count = (piece.bytes - head) / kBytes;
  const Word* from = reinterpret_cast<const Word*>(piece.from + head);
  Word* to = reinterpret_cast<Word*>(piece.to + head);
  for (int64_t i = first; i < count; i += kWords * step) {
    Word words[kWords];
#pragma unroll
    for (int w = 0; w < kWords; w++) {
      if (i + w * step < count) {
        words[w] = from[i + w * step];
      }
    }
#pragma unroll
    for (int w = 0; w < kWords; w++) {
      if (i + w * step < count) {
        to[i + w * step] = words[w];
      }
    }
  }
  // Fewer bytes than threads: head and tail are each shorter than a word.
  const int64_t tail = head + count * kBytes;
  if (first < head) {
    piece.to[first] = piece.from[first];
  }
  if (tail + first < piece.bytes) {
    piece.to[tail + first] = piece.from[tail + first];
  }
}

__global__ void __launch_bounds__(kThreads)
    copy_pieces_kernel(const __grid_constant__ CopyParams params) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  const int64_t first = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  for (int i = 0; i < params.count; i++) {
    const CopyPiece& piece = params.pieces[i];
    const uint64_t apart =
        reinterpret_cast<uint64_t>(piece.from) ^ reinterpret_cast<uint64_t>(piece.to);
    if (apart % sizeof(uint4) == 0) {
      copy_words<uint4>(piece, first, step);
    } else if (apart % sizeof(uint32_t) == 0) {
      copy_words<uint32_t>(piece, first, step);
    } else {
      copy_words<uint8_t>(piece, first, step);
    }
  }
}

}  // namespace

cudaError_t load_copy_pieces() { return load_kernels(copy_pieces_kernel); }

cudaError_t launch_copy_pieces(const CopyParams& params, int num_blocks, cudaStream_t stream) {
  if (params.count == 0) {
    return cudaSuccess;
  }
  copy_pieces_kernel<<<num_blocks, kThreads, 0, stream>>>(params);
  return cudaGetLastError();
}

}  // namespace ep4j
