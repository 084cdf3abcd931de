// Streams that are ready for use.
//
// The first kernel of a new stream can wait until other streams' kernels have ended. Where ranks
// share a process, such a kernel may be waiting for the very rank whose stream is new (seen on an
// H100 in half of all rounds with 4 ranks on new streams, in none of 400 on used ones). So a stream
// is used once before it is handed out, and kept for the next buffer when it is given back.
#pragma once

#include "runtime/status.hpp"

namespace ep4j {

// Takes a stream of the current device, non-blocking. Waits for the device's running work if no
// used stream is free: to be called where no peer can be waiting for this rank.
cudaStream_t take_stream(int device, bool urgent);

// Gives a stream back. Work on it may be pending: nobody gets it before that has ended.
void give_stream(cudaStream_t stream);

}  // namespace ep4j
