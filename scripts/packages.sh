#!/usr/bin/env bash
# Installs the Debian packages the lab and the tests need; says so and does nothing where it cannot.
set -euo pipefail
declare -A provides=(
  [/usr/bin/dockerd]=docker.io [/usr/sbin/dockerd]=docker.io [/usr/bin/mmdebstrap]=mmdebstrap
  [/usr/sbin/sshd]=openssh-server [/usr/bin/docker-registry]=docker-registry
  [/usr/bin/zsh]=zsh [/usr/bin/curl]=curl [/usr/bin/git]=git [/usr/lib/postgresql]=postgresql
)
missing=()
for path in "${!provides[@]}"; do
  [ -e "$path" ] && continue
  case $path in
    */dockerd) [ -e /usr/bin/dockerd ] || [ -e /usr/sbin/dockerd ] && continue ;;
  esac
  missing+=("${provides[$path]}")
done
[ ${#missing[@]} -eq 0 ] && exit 0
mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "These Debian packages are missing and only root can install them: ${missing[*]}" >&2
  exit 1
fi
echo "⌛ installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# Services that a package would start have no place here; the project starts what it needs itself.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d.macfleet
restore=0
if [ ! -e /usr/sbin/policy-rc.d ]; then
  install -m 755 /usr/sbin/policy-rc.d.macfleet /usr/sbin/policy-rc.d
  restore=1
fi
rm -f /usr/sbin/policy-rc.d.macfleet
trap '[ "$restore" = 0 ] || rm -f /usr/sbin/policy-rc.d' EXIT
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
