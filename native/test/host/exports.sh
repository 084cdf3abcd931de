#!/usr/bin/env bash
# libep4j.so exports exactly the functions of ep4j.h and needs nothing that a bare host lacks.
set -euo pipefail

library=$1
header=$(dirname "${BASH_SOURCE[0]}")/../../include/ep4j.h
failed=0
complain() {
  echo "FAIL $1"
  failed=1
}

declared=$(sed 's,/\*.*\*/,,' "$header" | grep -oE '\bep4j_[a-z_]+\(' | tr -d '(' | sort -u)
exported=$(nm -D --defined-only "$library" | awk '{print $NF}' | sort -u)
if ! diff <(echo "$declared") <(echo "$exported"); then
  complain "declared in ep4j.h (<) and exported (>) differ"
fi

needed=$(readelf -d "$library" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p')
for name in $needed; do
  case $name in
    libc.so.6 | libgcc_s.so.1 | libm.so.6 | libdl.so.2 | libpthread.so.0 | librt.so.1 | ld-linux-x86-64.so.2) ;;
    *) complain "needs $name" ;;
  esac
done
if readelf -d "$library" | grep -E 'RPATH|RUNPATH'; then
  complain "has a search path of the machine that built it"
fi
[ "$failed" = 0 ] && echo "ok   $(wc -w <<<"$exported") functions exported; needs $(echo $needed)"
exit "$failed"
