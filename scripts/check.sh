#!/usr/bin/env bash
# All gates, from clean: format, lint, Error Prone, NullAway, Javadoc, tests, jars. Set JAVA_HOME to choose the
# JDK (17 or newer; the format is checked on 17 only). Arguments go to Maven.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# clean: Maven does not recompile when only compiler arguments or an interface of src/vector changed.
exec mvn -B -ntp clean verify "$@"
