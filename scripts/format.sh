#!/usr/bin/env bash
# Formats all Java sources in place with google-java-format. Needs JDK 17: see the pom's format-on-17-only profile.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=$(mvn -B -ntp spotless:apply 2>&1) || {
  printf '%s\n' "$out" >&2
  exit 1
}
if grep -q 'apply skipped' <<<"$out"; then
  echo "scripts/format.sh: nothing formatted; set JAVA_HOME to a JDK 17" >&2
  exit 1
fi
