#!/usr/bin/env bash
# Packs one archive for a GPU host that has a driver but neither Java nor Maven: target/deepep4j-bundle.tar.gz.
# Inside: a Java runtime, the library, the natives, all tests, JUnit and ./run. At most 60 MiB unpacked.
# Needs what mvn -Pcuda needs, and a JDK 17 with its jmods.
#   scripts/bundle.sh            builds everything first
#   scripts/bundle.sh --no-build packs what mvn -Pcuda test-compile has left in target
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
junit=6.1.3 # of junit-platform-console-standalone: the pom's junit.version
limit_kib=$((60 * 1024))

if [ "${1:-}" != "--no-build" ]; then
  mvn -B -ntp -q -Pcuda -DskipTests test-compile
fi
natives=target/native-classes/io/github/deepep4j/internal/cuda/binding/linux-x86_64
for file in target/classes target/test-classes "$natives/libep4j.so" "$natives/libjniep4j.so"; do
  if [ ! -e "$file" ]; then
    echo "scripts/bundle.sh: $file is missing: run without --no-build" >&2
    exit 1
  fi
done

bundle=target/bundle/deepep4j
rm -rf target/bundle
mkdir -p "$bundle/lib" "$bundle/natives"
"${JAVA_HOME:+$JAVA_HOME/bin/}jlink" --strip-debug --no-header-files --no-man-pages --compress=2 \
  --add-modules java.base,java.logging,java.management,jdk.unsupported,jdk.zipfs,jdk.incubator.vector \
  --output "$bundle/jre"
mvn -B -ntp -q org.apache.maven.plugins:maven-dependency-plugin:3.11.0:copy \
  -Dartifact="org.junit.platform:junit-platform-console-standalone:$junit" -DoutputDirectory="$bundle/lib"
mvn -B -ntp -q dependency:copy-dependencies -DoutputDirectory="$bundle/lib" \
  -DincludeArtifactIds=javacpp,jspecify,assertj-core
cp "$natives"/*.so "$bundle/natives/"
cp -r target/classes "$bundle/classes"
cp -r target/test-classes "$bundle/tests"
# Their libraries are not packed.
rm -rf "$bundle/tests/io/github/deepep4j/examples" "$bundle/tests/io/github/deepep4j/interop" \
  "$bundle"/tests/io/github/deepep4j/ArchitectureTest*.class
git rev-parse HEAD >"$bundle/COMMIT"

cat >"$bundle/run" <<'RUN'
#!/usr/bin/env bash
# ./run info                                   what the library finds here
# ./run selftest [--ranks N] [--cpu]           every form against the oracle, one line each
# ./run test [JUnit console options] [--cpu]   the GPU tests, and the oracle tests on the GPU
# EP4J_DEVICES: GPUs to spread the ranks of selftest and test over (1)
# EP4J_DEADLINE: seconds after which a wait for another rank fails a test (20)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
device=cuda
arguments=()
for argument in "${@:2}"; do
  if [ "$argument" = --cpu ]; then device=cpu; else arguments+=("$argument"); fi
done
libraries=$(printf '%s:' "$here"/lib/*.jar)
java=("$here/jre/bin/java" -Xmx1g --add-modules jdk.incubator.vector --enable-native-access=ALL-UNNAMED
  "-Ddeepep4j.native.dir=$here/natives" "-Ddeepep4j.test.device=$device"
  "-Ddeepep4j.test.devices=${EP4J_DEVICES:-1}" "-Ddeepep4j.test.deadline=${EP4J_DEADLINE:-20}"
  -cp "$here/classes:$here/tests:$libraries")
case "${1:-}" in
  info) exec "${java[@]}" io.github.deepep4j.gpu.Info ;;
  selftest) exec "${java[@]}" io.github.deepep4j.normal.SelfTest "${arguments[@]}" ;;
  test)
    if [ ${#arguments[@]} -eq 0 ]; then
      arguments=(--select-package io.github.deepep4j.normal)
      if [ $device = cuda ]; then
        # An arena is not on CUDA yet.
        arguments+=(--select-package io.github.deepep4j.gpu --exclude-tag arena)
      fi
    fi
    exec "${java[@]}" -Djunit.jupiter.execution.timeout.default=120s \
      org.junit.platform.console.ConsoleLauncher execute --disable-banner --details=tree \
      --disable-ansi-colors --fail-if-no-tests "${arguments[@]}"
    ;;
  *)
    sed -n '2,6p' "${BASH_SOURCE[0]}" | sed 's/^# //' >&2
    exit 2
    ;;
esac
RUN
chmod +x "$bundle/run"

size_kib=$(du -sk "$bundle" | cut -f1)
tar -C target/bundle -czf target/deepep4j-bundle.tar.gz deepep4j
echo "target/deepep4j-bundle.tar.gz: $((size_kib / 1024)) MiB unpacked, $(($(stat -c %s target/deepep4j-bundle.tar.gz) / 1048576)) MiB packed"
if ((size_kib > limit_kib)); then
  echo "scripts/bundle.sh: more than $((limit_kib / 1024)) MiB unpacked" >&2
  exit 1
fi
