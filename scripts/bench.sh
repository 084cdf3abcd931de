#!/usr/bin/env bash
# Measures dispatch and combine with JMH. --help says what can be chosen; README.md in benchmarks/results says what
# comes out. Builds the library and the benchmarks from this tree first and installs nothing. JAVA_HOME chooses the
# JDK; MAVEN_ARGS goes to Maven, such as MAVEN_ARGS=-Dmaven.repo.local=/tmp/repository.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
read -ra maven_args <<<"${MAVEN_ARGS:-}"
# A formatting fault is no reason not to measure: the build's own gate reports it.
mvn -B -ntp -q "${maven_args[@]}" -Dspotless.check.skip=true -f benchmarks/reactor/pom.xml process-classes

commit=unknown
dirty=()
if git rev-parse --git-dir >/dev/null 2>&1; then
  commit=$(git rev-parse --short=10 HEAD)
  # Results of earlier runs don't count as changes.
  if [ -n "$(git status --porcelain -- . ':!benchmarks/results')" ]; then
    dirty=(--dirty)
  fi
fi

# A temporary folder of its own: JMH's lock file would keep two checkouts from running at once.
mkdir -p benchmarks/target/tmp
# For --backend cuda: what mvn -Pcuda test-compile has built.
natives=$PWD/target/native-classes/io/github/deepep4j/internal/cuda/binding/linux-x86_64
options=()
if [ -e "$natives/libjniep4j.so" ]; then
  options=("-Ddeepep4j.native.dir=$natives")
fi
exec "${JAVA_HOME:+$JAVA_HOME/bin/}java" -Djava.io.tmpdir="$PWD/benchmarks/target/tmp" "${options[@]}" \
  -cp "benchmarks/target/classes:$(cat benchmarks/target/classpath.txt)" \
  io.github.deepep4j.bench.Main --commit "$commit" "${dirty[@]}" "$@"
