"""How every script talks to the engine inside the VM: by socket, never by Docker context.

Colima removes and re-creates its context on each stop and start, and a login keychain cannot be opened
over SSH; so the socket is named outright and the client's settings live in a folder of macfleet's own.
"""

from __future__ import annotations

from macfleet.model.shell import quote

SILENT = "the container engine does not answer; what it holds is unknown"
_PLUGIN = "/opt/homebrew/lib/docker/cli-plugins/docker-compose"


BOUNDED = """bounded() {
  "$@" 2>/dev/null & p=$!
  ( trap 'kill "$s"; exit 0' TERM; sleep 8 & s=$!; wait "$s"; kill -9 "$p" ) >/dev/null 2>&1 & w=$!
  wait "$p"; r=$?
  kill "$w" 2>/dev/null; return "$r"
}"""
"""A shell function that runs a command for at most 8 s: a frozen guest must not take the probe with it."""


def environment(profile: str) -> str:
    """Return the lines that set DOCKER_HOST and DOCKER_CONFIG for a Colima profile."""
    return (
        f'export DOCKER_HOST="unix://$HOME/.colima/"{quote(profile)}"/docker.sock"\n'
        'export DOCKER_CONFIG="$HOME/.macfleet/docker"'
    )


def prepared(profile: str) -> str:
    """Return `environment` and the lines that make the folder and its link to the Compose plugin.

    The client looks for plugins below DOCKER_CONFIG and in system folders, never in Homebrew's.
    """
    return (
        f"set -e\n{environment(profile)}\n"
        'mkdir -p "$DOCKER_CONFIG/cli-plugins"\nchmod 700 "$DOCKER_CONFIG"\n'
        f'[ ! -e {_PLUGIN} ] || ln -sf {_PLUGIN} "$DOCKER_CONFIG/cli-plugins/docker-compose"'
    )


def guarded(profile: str, script: str) -> str:
    """Return a probe that prints ``engine absent``, ``engine silent``, or what `script` prints.

    Absent means that there is no client or no socket, so nothing can be there yet. A socket that does
    not answer says nothing about what the engine holds.
    """
    return (
        f"{environment(profile)}\n{BOUNDED}\n"
        f'if [ ! -S "$HOME/.colima/"{quote(profile)}"/docker.sock" ] || ! command -v docker >/dev/null 2>&1\n'
        "then echo 'engine absent'; exit 0; fi\n"
        "driver=$(bounded docker info --format '{{json .DriverStatus}}') || driver=null\n"
        "case $driver in null|'') echo 'engine silent'; exit 0 ;; esac\n"
        f"printf 'engine %s\\n' \"$driver\"\n{script}"
    )


def room(profile: str) -> str:
    """Return text that sets ``room`` to the KiB free for images inside the VM; empty where it does not say.

    The engine's disk is the VM's: the Mac's own free space says nothing about it.
    """
    instance = "colima" if profile == "default" else f"colima-{profile}"
    return (
        f"{BOUNDED}\n"
        "store=$(bounded docker info --format '{{.DockerRootDir}}') || :\n"
        'room=$({ bounded env LIMA_HOME="$HOME/.colima/_lima" limactl shell --workdir / '
        f'{quote(instance)} df -Pk "${{store:-/}}" </dev/null || :; }} | '
        "awk 'NR == 2 && $4 ~ /^[0-9]+$/ { print $4 }')"
    )
