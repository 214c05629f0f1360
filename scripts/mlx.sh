#!/usr/bin/env bash
# Installs mlx-lm into .mlx/, an environment of its own: tests/loadgen asks its server, Apple's engine, on Linux too.
set -euo pipefail
cd "$(dirname "$0")/.."
[ .mlx/.ready -nt requirements-mlx.txt ] && exit 0
python3 -m venv .mlx
.mlx/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-mlx.txt
touch .mlx/.ready
