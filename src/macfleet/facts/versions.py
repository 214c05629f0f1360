"""What a node is and which versions run on it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from macfleet.model.resource import Probe, ProbeOutput, State

_SOCKET = '"$HOME/.colima/default/docker.sock"'

# One program for all of it: sw_vers(1) twice and uname(1) would say the first three.
_SYSTEM = """sysctl -n kern.osproductversion kern.osversion hw.machine hw.memsize hw.ncpu \\
 machdep.cpu.brand_string hw.model &&
 if [ -e /opt/lab ]; then
 printf lab; for d in /opt/lab/planted/*; do [ ! -e "$d" ] || printf ' %s' "${d##*/}"; done; echo
else echo mac; fi"""

# A directory per installed version: asking `brew` itself costs about a second of Ruby.
_FORMULAE = 'for d in /opt/homebrew/Cellar/*/*; do [ -d "$d" ] && echo "${d#/opt/homebrew/Cellar/}"; done; :'

_ENGINE = f"""DOCKER_HOST=unix://{_SOCKET}; export DOCKER_HOST
docker version --format '{{{{.Server.Version}}}} {{{{.Server.Os}}}}/{{{{.Server.Arch}}}}' 2>/dev/null || :"""


# What the running VM was really started with; colima.yaml itself only says what the next start will do.
_APPLIED = """f="$HOME/.colima/_lima/colima/colima.yaml"
[ -f "$f" ] && sed -n -e 's/^\\(mountType\\): */\\1 /p' -e 's/^\\(vmType\\): */\\1 /p' \
 -e 's/^\\(portForwarder\\): */\\1 /p' "$f"; :"""


def probes() -> Mapping[str, Probe]:
    """Return the probes by fact name; they ride in the exec that observes resources."""
    return {
        "facts.system": Probe(_SYSTEM, parse_system, 20, plain=True),
        "facts.formulae": Probe(_FORMULAE, parse_formulae, 10, plain=True),
        # Without its socket the client would start for nothing; with it, it may hang.
        "facts.docker": Probe(_ENGINE, parse_docker, 20, given=f"[ -e {_SOCKET} ]"),
        "facts.colima": Probe(_APPLIED, parse_applied, 5, plain=True),
    }


def parse_system(output: ProbeOutput) -> State:
    """Return macos, build, arch, memory (bytes), cpus, chip, model and ``simulated`` (``lab`` or empty).

    Where figures of the lab are made up, ``planted`` names them, such as ``host-memory vm-iowait``.

    Raises:
        ValueError: not the eight lines a Mac prints.
    """
    lines = output.stdout.splitlines()
    if output.exit != 0 or len(lines) != 8:
        raise ValueError(f"expected eight lines of system facts, got {len(lines)}")
    macos, build, arch, memory, cpus, chip, model, kind = (line.strip() for line in lines)
    kind, _, planted = kind.partition(" ")
    return {
        "macos": macos,
        "build": build,
        "arch": arch,
        "memory": int(memory),
        "cpus": int(cpus),
        "chip": chip,
        "model": model,
        "simulated": "lab" if kind == "lab" else "",
        **({"planted": planted} if kind == "lab" and planted else {}),
    }


def parse_formulae(output: ProbeOutput) -> State:
    """Return the installed Homebrew formulae with their newest version directory."""
    pairs = [line.strip().partition("/")[::2] for line in output.stdout.splitlines() if "/" in line]
    return dict(sorted(pairs, key=lambda pair: (pair[0], _age(pair[1]))))


def parse_docker(output: ProbeOutput) -> State | None:
    """Return the engine's version and platform, None when it does not answer."""
    words = output.stdout.split()
    if len(words) != 2:
        return None
    return {"server": words[0], "platform": words[1]}


def parse_applied(output: ProbeOutput) -> State | None:
    """Return mountType, vmType and portForwarder as applied, None without a VM."""
    pairs = (line.split(" ", 1) for line in output.stdout.splitlines() if " " in line)
    found = {name: value.strip().strip("\"'") for name, value in pairs}
    return found or None


def _age(version: str) -> tuple[bool, list[int]]:
    """Return what sorts versions from old to new: 0.9 before 0.10, a HEAD build last."""
    return version.startswith("HEAD"), [int(number) for number in re.findall(r"[0-9]+", version)]


def versions(facts: Mapping[str, State | None]) -> dict[str, str]:
    """Return the versions evidence depends on, from the parsed facts; unknown ones are left out."""
    system = facts.get("facts.system") or {}
    formulae = facts.get("facts.formulae") or {}
    docker = facts.get("facts.docker") or {}
    found = {
        "macos": system.get("macos"),
        "colima": formulae.get("colima"),
        "lima": formulae.get("lima"),
        "engine": formulae.get("llama.cpp"),
        "docker": docker.get("server"),
    }
    return {name: str(value) for name, value in found.items() if value}
