#!/usr/bin/env bash
# Packs one archive for a GPU host that has a driver but neither Java nor Maven: target/deepep4j-bundle.tar.gz.
# Inside: a Java runtime, the library, the natives, all tests, JUnit, the benchmarks with JMH, the training demo and
# ./run. At most 60 MiB unpacked, and 8 more with NVSHMEM.
# Needs what mvn -Pcuda needs, and a JDK 17 with its jmods. MAVEN_ARGS goes to Maven, such as
# MAVEN_ARGS=-Dnative.options=-DCMAKE_CUDA_ARCHITECTURES=90a-real.
#   scripts/bundle.sh                builds everything first
#   scripts/bundle.sh --no-build     packs what a build has left in target and benchmarks/target
#   scripts/bundle.sh --with-nvshmem packs libep4j_nvshmem.so, too. It has code of NVSHMEM linked into it: for machines
#                                    of your own, not to be given on. NVSHMEM's own libraries are never packed
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
junit=6.1.3 # of junit-platform-console-standalone: the pom's junit.version
limit_kib=$((60 * 1024))

build=1
with_nvshmem=
for argument in "$@"; do
  case $argument in
    --no-build) build= ;;
    --with-nvshmem)
      with_nvshmem=target/native/libep4j_nvshmem.so
      limit_kib=$((68 * 1024))
      ;;
    *)
      echo "scripts/bundle.sh: unknown: $argument" >&2
      exit 2
      ;;
  esac
done
if [ -n "$build" ]; then
  read -ra maven_args <<<"${MAVEN_ARGS:-}"
  mvn -B -ntp -q "${maven_args[@]}" -Pcuda -DskipTests -f benchmarks/reactor/pom.xml test-compile
fi
natives=target/native-classes/io/github/deepep4j/internal/cuda/binding/linux-x86_64
for file in target/classes target/test-classes "$natives/libep4j.so" "$natives/libjniep4j.so" \
  target/native/test/ep4j_bench benchmarks/target/classes benchmarks/target/classpath.txt $with_nvshmem; do
  if [ ! -e "$file" ]; then
    echo "scripts/bundle.sh: $file is missing: run without --no-build" >&2
    exit 1
  fi
done

bundle=target/bundle/deepep4j
rm -rf target/bundle
mkdir -p "$bundle/lib" "$bundle/natives" "$bundle/text/docs"
# jdk.management: JMH and the count of what threads allocate.
"${JAVA_HOME:+$JAVA_HOME/bin/}jlink" --strip-debug --no-header-files --no-man-pages --compress=2 \
  --add-modules java.base,java.logging,java.management,jdk.management,jdk.unsupported,jdk.zipfs,jdk.incubator.vector \
  --output "$bundle/jre"
# jlink leaves symbol tables in: 4 MB that only a debugger reads.
strip --strip-unneeded "$bundle/jre/lib/server/libjvm.so" "$bundle"/jre/lib/*.so
# Vectors' sines and logarithms, which nothing here uses; and what only other tools read.
rm -f "$bundle"/jre/lib/{libjsvml.so,jrt-fs.jar,classlist}
mvn -B -ntp -q org.apache.maven.plugins:maven-dependency-plugin:3.11.0:copy \
  -Dartifact="org.junit.platform:junit-platform-console-standalone:$junit" -DoutputDirectory="$bundle/lib"
mvn -B -ntp -q dependency:copy-dependencies -DoutputDirectory="$bundle/lib" \
  -DincludeArtifactIds=javacpp,jspecify,assertj-core
tr ':' '\n' <benchmarks/target/classpath.txt | grep '\.jar$' | while read -r jar; do cp "$jar" "$bundle/lib/"; done
cp "$natives"/*.so $with_nvshmem "$bundle/natives/"
strip -o "$bundle/natives/ep4j_bench" target/native/test/ep4j_bench
cp -r target/classes "$bundle/classes"
cp -r target/test-classes "$bundle/tests"
cp -r benchmarks/target/classes "$bundle/bench"
# What the demo learns from.
cp LICENSE ./*.md "$bundle/text/"
cp docs/*.md "$bundle/text/docs/"
# Their libraries are not packed.
rm -rf "$bundle/tests/io/github/deepep4j/interop" "$bundle"/tests/io/github/deepep4j/ArchitectureTest*.class \
  "$bundle"/tests/io/github/deepep4j/examples/training/{Charts,*Test}*.class
# The simulator of several nodes needs no GPU host.
rm -rf "$bundle/tests/io/github/deepep4j/scale"
commit=$(git rev-parse HEAD)
if [ -n "$(git status --porcelain -- . ':!benchmarks/results')" ]; then
  commit+=-dirty
fi
echo "$commit" >"$bundle/COMMIT"

cat >"$bundle/run" <<'RUN'
#!/usr/bin/env bash
# ./run info                                   what the library finds here
# ./run selftest [--ranks N] [--cpu]           every form against the oracle, one line each; --processes: ranks as JVMs,
#                                              with --transport nvshmem [--remote] as PEs of NVSHMEM
# ./run test [JUnit console options] [--cpu]   the GPU tests, and the oracle tests on the GPU; without MPS, since some
#                                              kill a rank
# ./run bench [--quick] [options] [--cpu]      JMH: a table; JSON and a plot to results/ (--help)
# ./run process-bench [--ranks N] [--transport peer|nvshmem|nvshmem-remote] [--out FILE]
#                                              low-latency pairs of JVMs on one GPU, which JMH can't measure
# ./run native-bench RESULT.json               the same operations from C, and what a call takes on the host
# ./run tune [options] [--cpu]                 the fastest tuning of this machine, to a file that a buffer loads (--help)
# ./run demo [options] [--cpu]                 trains a small model; a page in report/ (--help)
# EP4J_DEVICES: GPUs to spread the ranks of selftest and test over (1); bench and demo have --devices
# EP4J_DEADLINE: seconds after which a wait for another rank fails a test (20)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
device=cuda
arguments=()
for argument in "${@:2}"; do
  if [ "$argument" = --cpu ]; then device=cpu; else arguments+=("$argument"); fi
done
libraries=$(printf '%s:' "$here"/lib/*.jar)
classes=$here/classes:$here/tests
commit=$(cat "$here/COMMIT")
java=("$here/jre/bin/java" --add-modules jdk.incubator.vector --enable-native-access=ALL-UNNAMED
  "-Ddeepep4j.native.dir=$here/natives" "-Ddeepep4j.test.device=$device"
  "-Ddeepep4j.test.devices=${EP4J_DEVICES:-1}" "-Ddeepep4j.test.deadline=${EP4J_DEADLINE:-20}")
case "${1:-}" in
  info) exec "${java[@]}" -cp "$classes:$libraries" io.github.deepep4j.gpu.Info ;;
  selftest) exec "${java[@]}" -Xmx1g -cp "$classes:$libraries" io.github.deepep4j.normal.SelfTest "${arguments[@]}" ;;
  test)
    if [ ${#arguments[@]} -eq 0 ]; then
      arguments=(--select-package io.github.deepep4j.normal)
      if [ $device = cuda ]; then
        arguments+=(--select-package io.github.deepep4j.gpu)
        # Low latency of threads does not cross nodes on CUDA.
        arguments+=(--exclude-tag nodes-cpu)
        for name in DifferentCallsTest MaskTest UnmaskTest process.CudaProcessTest LowLatencyDifferentialTest \
          LowLatencyOverlapTest LowLatencyRecordedTest LowLatencyRefusalTest LowLatencyRulesTest LowLatencyStressTest; do
          arguments+=(--select-class "io.github.deepep4j.$name")
        done
        # Under MPS, and by name: ./run test --select-class io.github.deepep4j.process.NvshmemProcessTest
        arguments+=(--exclude-tag nvshmem)
        # What looks into the CPU backend.
        arguments+=(--exclude-tag cpu)
      fi
    fi
    exec "${java[@]}" -Xmx1g -Djunit.jupiter.execution.timeout.default=120s -cp "$classes:$libraries" \
      org.junit.platform.console.ConsoleLauncher execute --disable-banner --details=tree \
      --disable-ansi-colors --fail-if-no-tests "${arguments[@]}"
    ;;
  bench)
    # JMH starts JVMs of its own from this runtime, with this class path and the options that Main gives them. Its
    # lock is for machines on which two benchmarks could run by mistake.
    options=(--backend "$device" --commit "${commit:0:10}" --out results)
    if [[ $commit == *-dirty ]]; then options+=(--dirty); fi
    exec "${java[@]}" -Djmh.ignoreLock=true -cp "$here/bench:$here/classes:$libraries" \
      io.github.deepep4j.bench.Main "${options[@]}" "${arguments[@]}"
    ;;
  process-bench)
    exec "${java[@]}" -cp "$here/bench:$here/classes:$libraries" io.github.deepep4j.bench.ProcessPairs \
      --commit "${commit:0:10}" "${arguments[@]}"
    ;;
  native-bench)
    LD_LIBRARY_PATH="$here/natives${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" \
      exec "$here/natives/ep4j_bench" "${arguments[@]}" "${commit:0:10}"
    ;;
  tune)
    exec "${java[@]}" -cp "$classes:$libraries" io.github.deepep4j.tune.Main --backend "$device" "${arguments[@]}"
    ;;
  demo)
    exec "${java[@]}" -cp "$classes:$libraries" io.github.deepep4j.examples.training.Demo \
      --root "$here/text" --backend "$device" "${arguments[@]}"
    ;;
  *)
    sed -n '2,14p' "${BASH_SOURCE[0]}" | sed 's/^# //' >&2
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
