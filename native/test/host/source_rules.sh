#!/usr/bin/env bash
# Rules of native/src that a compiler does not check: kernels are portable by construction, and
# includes go downward: capi, runtime, launch, kernels, device, layout.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../../src"
failed=0
complain() {
  echo "FAIL $1"
  failed=1
}

if grep -rnE '\basm\b|clock64|nvshmem' kernels; then
  complain "kernels contain inline PTX, clock64 or NVSHMEM calls"
fi

layers=(layout device kernels launch runtime capi)
level_of() { # level_of FOLDER
  local i
  for i in "${!layers[@]}"; do
    if [ "${layers[$i]}" = "$1" ]; then
      echo "$i"
      return
    fi
  done
  echo "unknown folder $1" >&2
  return 1
}
checked=0
while IFS=: read -r file _ line; do
  included=$(sed -E 's/.*#include "([^"]+)".*/\1/' <<<"$line")
  [[ $included == */* ]] || continue
  from=${file%%/*}
  to=${included%%/*}
  checked=$((checked + 1))
  if [ "$(level_of "$to")" -gt "$(level_of "$from")" ]; then
    complain "$file includes upward: $included"
  fi
  if [ "$from" = kernels ] && [ "$to" = kernels ] && [ "$(dirname "$included")" != "$(dirname "$file")" ]; then
    complain "$file includes another kernel folder: $included"
  fi
done < <(grep -rnE '#include "' "${layers[@]}")
if [ "$checked" -lt 50 ]; then
  complain "only $checked includes were seen"
fi

while read -r lines file; do
  if [ "$file" != total ] && [ "$lines" -gt 400 ]; then
    complain "$file has $lines lines"
  fi
done < <(find . -name '*.*' -type f -exec wc -l {} +)
[ "$failed" = 0 ] && echo "ok   $checked includes go downward, kernels are portable"
exit "$failed"
