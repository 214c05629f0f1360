#!/usr/bin/env bash
# Puts Debian's Chromium on the machine and playwright beside the tests, for tests/browser alone.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ ! -x /usr/bin/chromium ]; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Debian's package chromium is missing and only root can install it" >&2
    exit 1
  fi
  echo "⌛ installing chromium" >&2
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null
fi
[ .venv/.browser -nt requirements-browser.txt ] && [ .venv/.browser -nt .venv/.ready ] && exit 0
.venv/bin/pip install --quiet --quiet --disable-pip-version-check --require-hashes -r requirements-browser.txt
touch .venv/.browser
