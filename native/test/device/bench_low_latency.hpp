// The table of targets.md, section 3: low-latency mode.
#pragma once

#include <string>

namespace ep4j::test {

// Measures, verifies, prints, and writes a JSON file. Throws if a result is wrong.
void bench_low_latency(const char* path, const std::string& commit);

}  // namespace ep4j::test
