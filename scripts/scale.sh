#!/usr/bin/env bash
# Simulates normal mode across nodes (docs/scale.md) and writes JSON, SVG and Markdown tables to the folder given, by
# default benchmarks/results. Takes about a minute after the build.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder=${1:-benchmarks/results}
commit=$(git rev-parse --short=10 HEAD 2>/dev/null || echo unknown)
read -ra maven_args <<<"${MAVEN_ARGS:-}"
mvn -B -ntp -q "${maven_args[@]}" -Dspotless.check.skip=true test-compile
exec "${JAVA_HOME:+$JAVA_HOME/bin/}java" -cp target/test-classes io.github.deepep4j.scale.Main "$folder" "$commit"
