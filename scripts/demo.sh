#!/usr/bin/env bash
# Trains a small Mixture-of-Experts language model with its experts spread over 4 ranks, then on 1 rank, and compares:
# see --help. Builds this tree first. JAVA_HOME chooses the JDK; MAVEN_ARGS goes to Maven, such as
# MAVEN_ARGS=-Dmaven.repo.local=/tmp/repository.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
java=${JAVA_HOME:+$JAVA_HOME/bin/}java
for tool in "$java" mvn; do
  if ! command -v "$tool" >/dev/null; then
    echo "demo.sh: needs a JDK (17 or newer) and Maven; not found: $tool" >&2
    exit 1
  fi
done

echo "demo.sh: building (the first time Maven downloads its plugins, which can take minutes)"
read -ra maven_args <<<"${MAVEN_ARGS:-}"
# A formatting fault is no reason not to run: the build's own gate reports it.
mvn -B -ntp -q "${maven_args[@]}" -Dspotless.check.skip=true -f "$root/pom.xml" test-compile \
  dependency:build-classpath -DincludeScope=test -Dmdep.outputFile="$root/target/demo.classpath"

# The JVM warns of the incubating module once; without it, row sums are slower and nothing else changes.
command=("$java" --add-modules jdk.incubator.vector --enable-native-access=ALL-UNNAMED
  -cp "$root/target/classes:$root/target/test-classes:$(cat "$root/target/demo.classpath")")
# For --backend cuda: what mvn -Pcuda test-compile has built.
natives=$root/target/native-classes/io/github/deepep4j/internal/cuda/binding/linux-x86_64
if [ -e "$natives/libjniep4j.so" ]; then
  command+=("-Ddeepep4j.native.dir=$natives")
fi
command+=(io.github.deepep4j.examples.training.Demo --root "$root")

ranks=4
processes=false
for ((i = 1; i <= $#; i++)); do
  case ${!i} in
    --help)
      processes=false
      break
      ;;
    --processes) processes=true ;;
    --ranks=*) ranks=${!i#--ranks=} ;;
    --ranks)
      next=$((i + 1))
      ranks=${!next:-}
      ;;
  esac
done
if $processes; then
  exec "$root/scripts/launch.sh" -n "$ranks" -- "${command[@]}" "$@"
fi
if [ -t 1 ]; then
  command+=(--progress bar)
fi
exec "${command[@]}" "$@"
