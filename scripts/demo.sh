#!/usr/bin/env bash
# Two simulated Macs, all five stages over SSH, one comparison. Safe to run again: what is current stays.
set -euo pipefail
cd "$(dirname "$0")/.."
macfleet=$PWD/.venv/bin/macfleet
fleet=${1:-demo}
# A second lab beside another one: MACFLEET_LAB_OPTIONS="--name other --subnet 172.28.99.0/24".
read -ra lab <<<"${MACFLEET_LAB_OPTIONS:-}"
duration=${MACFLEET_DEMO_DURATION:-12s}

say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; "$@"; }
keep() { git add -A && git -c user.name=demo -c user.email=demo@localhost commit -qm "$1" || :; }

mkdir -p "$fleet"
say "$macfleet" lab up --nodes 2 --state-dir "$fleet/.macfleet/lab" "${lab[@]}"
"$macfleet" lab fleet "$fleet" "${lab[@]}"
cd "$fleet"
say "$macfleet" inventory list
"$macfleet" enrol -l all
say "$macfleet" contract freeze
say "$macfleet" image pin
keep "The lab's fleet"
say "$macfleet" rollout all --yes --duration "$duration"
keep "What the stages locked"
say "$macfleet" compare
cat <<TEXT

The lab stays up: cd $fleet, then try
  $macfleet rollout status
  $macfleet exec -l mac-01 -- sw_vers
  $macfleet rollout stage3 --check
Remove it with: make clean-lab
TEXT
