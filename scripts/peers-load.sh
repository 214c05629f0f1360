#!/usr/bin/env bash
# Installs GuideLLM and AIPerf into .peers-load/, an environment of their own, for `make bench-loadgen`.
# pip must know a source of torch's CPU build (its + in the version); the build without it brings 5 GB of CUDA.
set -euo pipefail
cd "$(dirname "$0")/.."
[ .peers-load/.ready -nt bench/peers-load.txt ] && exit 0
python3 -m venv .peers-load
.peers-load/bin/pip install --quiet --disable-pip-version-check --require-hashes -r bench/peers-load.txt
touch .peers-load/.ready
