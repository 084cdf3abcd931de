#!/usr/bin/env bash
# Builds libep4j.so (target/native) and runs its host tests. Needs CMake 3.24, nvcc 13 and g++ with C++20, and neither
# a driver nor a GPU. Arguments go to CMake, for example -DCMAKE_CUDA_ARCHITECTURES=90a-real for a quick build.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
missing=()
need() { # need COMMAND WHAT-FOR
  command -v "$1" >/dev/null || missing+=("$1: $2")
}
need cmake "CMake 3.24 or newer"
need g++ "a C++20 compiler, GCC 11 or newer"
need nvcc "the CUDA 13 toolkit's compiler; put its bin folder on the PATH"
if command -v nvcc >/dev/null; then
  release=$(nvcc --version | sed -n 's/.*release \([0-9]*\)\..*/\1/p')
  if [ "${release:-0}" -lt 13 ]; then
    missing+=("nvcc 13: this one is ${release:-of unknown version}")
  fi
fi
if [ ${#missing[@]} -gt 0 ]; then
  echo "scripts/build-native.sh: cannot build, missing:" >&2
  printf '  %s\n' "${missing[@]}" >&2
  exit 1
fi

cmake -S native -B target/native "$@"
cmake --build target/native --parallel "${EP4J_BUILD_JOBS:-$(nproc)}"
ctest --test-dir target/native --output-on-failure -LE gpu
echo "built target/native/libep4j.so"
