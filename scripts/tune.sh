#!/usr/bin/env bash
# Looks for the fastest tuning of this machine and writes it to a file that a buffer loads: see --help. Builds this tree
# first. In a bundle on a GPU host the same is ./run tune. JAVA_HOME chooses the JDK; MAVEN_ARGS goes to Maven.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
read -ra maven_args <<<"${MAVEN_ARGS:-}"
mvn -B -ntp -q "${maven_args[@]}" -Dspotless.check.skip=true -f "$root/pom.xml" test-compile \
  dependency:build-classpath -DincludeScope=runtime -Dmdep.outputFile="$root/target/tune.classpath"
natives=$root/target/native-classes/io/github/deepep4j/internal/cuda/binding/linux-x86_64
options=()
if [ -e "$natives/libjniep4j.so" ]; then
  options=("-Ddeepep4j.native.dir=$natives")
fi
exec "${JAVA_HOME:+$JAVA_HOME/bin/}java" --add-modules jdk.incubator.vector --enable-native-access=ALL-UNNAMED \
  "${options[@]}" -cp "$root/target/classes:$root/target/test-classes:$(cat "$root/target/tune.classpath")" \
  io.github.deepep4j.tune.Main "$@"
