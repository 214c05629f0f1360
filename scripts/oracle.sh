#!/usr/bin/env bash
# Installs ansible-core into .oracle/, an environment of its own: the differential tests of the inventory ask it.
set -euo pipefail
cd "$(dirname "$0")/.."
[ .oracle/.ready -nt requirements-oracle.txt ] && exit 0
python3 -m venv .oracle
.oracle/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-oracle.txt
touch .oracle/.ready
