#!/usr/bin/env bash
# Nothing of NVSHMEM is in libep4j.so. libep4j_nvshmem.so has both C ABIs, the kernels of the network path with
# NVSHMEM's device code linked in, and takes NVSHMEM's host library from where the loader finds it.
set -euo pipefail

plain=$1
network=$2
include=$(dirname "${BASH_SOURCE[0]}")/../../include
failed=0
complain() {
  echo "FAIL $1"
  failed=1
}

for listing in "strings -a" "readelf -d -W" "nm -D"; do
  if $listing "$plain" | grep -i nvshmem; then
    complain "libep4j.so has something of NVSHMEM: $listing"
  fi
done

declared=$(sed 's,/\*.*\*/,,' "$include"/ep4j.h "$include"/ep4j_nvshmem.h | grep -oE '\bep4j_[a-z_]+\(' | tr -d '(' | sort -u)
exported=$(nm -D --defined-only "$network" | awk '{print $NF}' | sort -u)
if ! diff <(echo "$declared") <(echo "$exported"); then
  complain "declared in the two headers (<) and exported (>) differ"
fi
needed=$(readelf -d "$network" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p')
for name in $needed; do
  case $name in
    libnvshmem_host.so.3 | libc.so.6 | libgcc_s.so.1 | libm.so.6 | libdl.so.2 | libpthread.so.0 | librt.so.1 | ld-linux-x86-64.so.2) ;;
    *) complain "needs $name" ;;
  esac
done
grep -q libnvshmem_host.so.3 <<<"$needed" || complain "does not need NVSHMEM's host library: $needed"
if readelf -d "$network" | grep -E 'RPATH|RUNPATH'; then
  complain "has a search path of the machine that built it"
fi

# Device code is an ELF inside; its symbols are text there. NVSHMEM's state, which its device functions read, is
# defined only where the device link has taken them in.
text=$(strings -a "$network")
for symbol in low_latency_dispatch_kernel low_latency_combine_kernel nvshmemi_device_state_d; do
  grep -q "$symbol" <<<"$text" || complain "no $symbol in the device code"
done
[ "$failed" = 0 ] && echo "ok   libep4j.so is free of NVSHMEM; $(wc -w <<<"$exported") functions exported beside it"
exit "$failed"
