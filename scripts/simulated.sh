#!/usr/bin/env bash
# Runs tests of the CUDA backend on a simulated device (native/test/simulated), on a machine without a GPU: slow, a
# few tests at a time. After `mvn test-compile` and scripts/build-native.sh:
#   scripts/simulated.sh selftest --nodes 2x2
#   scripts/simulated.sh execute --select-method 'io.github.deepep4j.normal.NodesTest#shouldDependOnTheNodes_whenRankMajor()'
# The second form takes what JUnit's console launcher does. Does not see what only a device's weaker memory shows.
set -euo pipefail

junit=6.1.3 # of junit-platform-console-standalone: the pom's junit.version
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cmake --build target/native --target ep4j_simulated --parallel "${EP4J_BUILD_JOBS:-1}" >/dev/null
libraries=$PWD/target/native/test/simulated/lib
mvn -B -ntp -q org.apache.maven.plugins:maven-dependency-plugin:3.11.0:build-classpath -Dmdep.outputFile=target/simulated.classpath -DincludeScope=test
classpath=target/classes:target/test-classes:$(<target/simulated.classpath)
launcher=target/junit-platform-console-standalone-$junit.jar
[ -f "$launcher" ] || mvn -B -ntp -q org.apache.maven.plugins:maven-dependency-plugin:3.11.0:copy -DoutputDirectory=target \
  -Dartifact="org.junit.platform:junit-platform-console-standalone:$junit"
javacpp=$(tr : '\n' <target/simulated.classpath | grep -E '/javacpp-[0-9.]+\.jar$')
bindings=io.github.deepep4j.internal.cuda.binding
java -jar "$javacpp" -classpath target/classes -Dplatform.includepath="$PWD/native/include" -Xcompiler "-L$libraries" \
  -d "$libraries" $bindings.Ep4jNative $bindings.InternodeNative $bindings.LowLatencyNative $bindings.MeasuringNative \
  >/dev/null 2>&1
# Few multiprocessors: calls have as many blocks as they may.
export EP4J_SIMULATED_SMS=${EP4J_SIMULATED_SMS:-8}
java=(java -Xmx1g "-Ddeepep4j.native.dir=$libraries" -Ddeepep4j.test.device=cuda -Ddeepep4j.test.devices=1
  -Ddeepep4j.test.deadline=100)
case "${1:-}" in
  selftest) exec "${java[@]}" -cp "$classpath" io.github.deepep4j.normal.SelfTest "${@:2}" ;;
  execute) exec "${java[@]}" -jar "$launcher" execute -cp "$classpath" "${@:2}" ;;
  *)
    echo "usage: scripts/simulated.sh selftest [ARGUMENTS] | execute [JUNIT ARGUMENTS]" >&2
    exit 2
    ;;
esac
