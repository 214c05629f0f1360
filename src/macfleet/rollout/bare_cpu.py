"""The bare engine once more with the GPU off: what launchd starts for the bare arm, changed in that alone."""

from __future__ import annotations

import math
import plistlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.parsers.expat import ExpatError

from macfleet.facts.engine_gpu import GpuOff, without_gpu
from macfleet.model.node import Node
from macfleet.model.ports import Transport
from macfleet.model.shell import quote
from macfleet.resources.daemon import STAMP

_FOLDER = "/var/run"
"""Gone after a restart of the node: no second engine starts at boot."""
_UNTIL = ("/usr/bin/perl", "-e", "alarm shift; exec {$ARGV[0]} @ARGV or die qq($ARGV[0]: $!\\n)")
"""Every Mac has perl. An alarm outlives exec: SIGALRM ends the engine, no process beside it is needed."""
LASTS = 3600.0
"""Seconds after which it ends by itself unless told otherwise."""


@dataclass(frozen=True, slots=True)
class CpuDaemon:
    """A daemon of launchd that was derived from the bare arm's.

    Attributes:
        settings: its plist's keys.
        told: what it does otherwise than the bare engine.
    """

    label: str
    settings: Mapping[str, object]
    told: str

    def plist(self, lasts: float) -> str:
        """Return its plist as XML text: launchd runs it for at most `lasts` seconds.

        A controller that is killed leaves nobody to stop it.
        """
        program = self.settings["ProgramArguments"]
        engine = program if isinstance(program, list) else []
        limited = {**self.settings, "ProgramArguments": [*_UNTIL, str(math.ceil(lasts)), *engine]}
        return plistlib.dumps(limited, sort_keys=True).decode("utf-8")

    @property
    def path(self) -> str:
        """Where its plist lies while it runs."""
        return path_of(self.label)


def label_of(bare_label: str) -> str:
    """Return the label it runs under."""
    return f"{bare_label}.cpu"


def path_of(label: str) -> str:
    """Return where the plist of a label lies while it runs."""
    return f"{_FOLDER}/{label}.plist"


def derive(node: Node, bare_label: str, transport: Transport) -> CpuDaemon | str:
    """Return the daemon, or in words why this engine cannot be started with the GPU off."""
    found = transport.run(f"cat {quote(f'/Library/LaunchDaemons/{bare_label}.plist')}", deadline=60)
    if found.exit != 0:
        return f"launchd has no daemon {bare_label} on this node"
    return daemon_of(node, bare_label, found.stdout)


def daemon_of(node: Node, bare_label: str, plist: bytes) -> CpuDaemon | str:
    """Derive the daemon from the bare arm's plist, which is read from the node and untrusted."""
    try:
        settings = plistlib.loads(plist)
    except (plistlib.InvalidFileException, ExpatError, ValueError, OverflowError) as problem:
        return f"the plist of {bare_label} cannot be read: {problem}"
    program = settings.get("ProgramArguments") if isinstance(settings, dict) else None
    if not isinstance(program, list) or not program or not all(isinstance(word, str) for word in program):
        return f"the plist of {bare_label} names no program"
    given = settings.get("EnvironmentVariables")
    environment = {str(k): str(v) for k, v in given.items()} if isinstance(given, dict) else {}
    environment.pop(STAMP, None)
    off = without_gpu(program, environment, *_declared(node))
    return off if isinstance(off, str) else _daemon(label_of(bare_label), settings, off)


def begin_script(daemon: CpuDaemon, lasts: float) -> str:
    """Return script text that loads and starts it for at most `lasts` seconds."""
    target, path = quote(f"system/{daemon.label}"), quote(daemon.path)
    plist = quote(daemon.plist(lasts))
    return (
        f"printf '%s' {plist} | sudo -n tee {path} >/dev/null && sudo -n chmod 644 {path}\n"
        f"launchctl print {target} >/dev/null 2>&1 || sudo -n launchctl bootstrap system {path} >&2\n"
        f"sudo -n launchctl kickstart {target} >&2 || :"
    )


def end_script(bare_label: str) -> str:
    """Return script text that unloads it, where it is loaded, and takes its plist away."""
    label = label_of(bare_label)
    return (
        f"sudo -n launchctl bootout {quote(f'system/{label}')} >&2 "
        "|| case $? in 3|36|113) ;; *) exit 1 ;; esac\n"
        f"sudo -n rm -f {quote(path_of(label))}"
    )


def _daemon(label: str, settings: Mapping[str, object], off: GpuOff) -> CpuDaemon:
    own = {
        "Label": label,
        "ProgramArguments": list(off.program),
        "EnvironmentVariables": dict(off.environment),
        # One that does not start is told at once instead of being started over and over.
        "KeepAlive": False,
        "RunAtLoad": True,
    }
    return CpuDaemon(label, {**settings, **own}, off.told)


def _declared(node: Node) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return what the inventory says of how this engine is kept off the GPU: arguments and environment."""
    arguments = node.variables.get("bare_cpu_arguments")
    variables = node.variables.get("bare_cpu_environment")
    listed = arguments if isinstance(arguments, Sequence) and not isinstance(arguments, str) else ()
    named = variables if isinstance(variables, Mapping) else {}
    return tuple(str(word) for word in listed), {str(name): str(value) for name, value in named.items()}
