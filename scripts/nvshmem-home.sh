#!/usr/bin/env bash
# Prints where NVSHMEM lies, as a folder with include/ and lib/: NVSHMEM_HOME, or what pip has installed, or what
# was fetched before. With --fetch it is fetched by pip, into target/, if it is nowhere. Prints nothing, and says
# why on the error output, where there is none.
set -euo pipefail

wheel=nvidia-nvshmem-cu13==3.4.5
fetched=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/target/nvshmem
is_home() { # is_home FOLDER
  [ -f "$1/include/nvshmem.h" ] && [ -f "$1/lib/libnvshmem_device.a" ] && compgen -G "$1/lib/libnvshmem_host.so*" >/dev/null
}

if [ -n "${NVSHMEM_HOME:-}" ]; then
  if ! is_home "$NVSHMEM_HOME"; then
    echo "NVSHMEM_HOME must have include/nvshmem.h, lib/libnvshmem_device.a and lib/libnvshmem_host.so.3: $NVSHMEM_HOME" >&2
    exit 1
  fi
  echo "$NVSHMEM_HOME"
  exit
fi
installed=$(python3 -c 'import nvidia.nvshmem as m; print(list(m.__path__)[0])' 2>/dev/null || true)
if [ -n "$installed" ] && is_home "$installed"; then
  echo "$installed"
  exit
fi
if is_home "$fetched/nvidia/nvshmem"; then
  echo "$fetched/nvidia/nvshmem"
  exit
fi
if [ "${1:-}" != --fetch ]; then
  echo "no NVSHMEM: set NVSHMEM_HOME, or pip install $wheel, or build with -DEP4J_FETCH_NVSHMEM=ON" >&2
  exit
fi
for tool in pip python3; do
  if ! command -v "$tool" >/dev/null; then
    echo "no NVSHMEM, and no $tool to fetch it: set NVSHMEM_HOME" >&2
    exit
  fi
done
mkdir -p "$fetched"
log=$fetched/pip.log
if ! pip download --quiet --retries 0 --no-deps --dest "$fetched" "$wheel" >"$log" 2>&1; then
  echo "no NVSHMEM, and pip could not fetch $wheel (see $log): set NVSHMEM_HOME" >&2
  exit
fi
python3 -m zipfile -e "$fetched"/nvidia_nvshmem_cu13-*.whl "$fetched"
rm "$fetched"/nvidia_nvshmem_cu13-*.whl
echo "$fetched/nvidia/nvshmem"
