#!/usr/bin/env bash
# Installs the benchmark's peers into .peers/, an environment of their own: pyinfra needs an older paramiko.
set -euo pipefail
cd "$(dirname "$0")/.."
[ .peers/.ready -nt bench/peers.txt ] && exit 0
python3 -m venv .peers
.peers/bin/pip install --quiet --disable-pip-version-check -r bench/peers.txt
touch .peers/.ready
