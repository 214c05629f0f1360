"""A job of the Mac's system domain: its plist, and the configuration launchd has really loaded.

The plist carries the digest of its own meaning in an environment variable, which ``launchctl print``
shows for the loaded service. A plist that was changed but never loaded is therefore seen.
"""

from __future__ import annotations

import hashlib
import json
import plistlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from macfleet.model.json import Json
from macfleet.model.resource import Action, Change, Put, Run, State, Step, Value
from macfleet.model.shell import quote
from macfleet.resources import ownership

STAMP = "MACFLEET_CONFIGURATION"
_STAMPED = re.compile(rf"^\s*{STAMP} => ([0-9a-f]{{64}})\s*$", re.MULTILINE)
_STATE = re.compile(r"^\s*state = (.+?)\s*$", re.MULTILINE)
_ABSENT_STATUS = 113
_MODE, _OWNER = "0644", "root:wheel"  # launchd refuses a daemon's plist that others may write


@dataclass(frozen=True, slots=True)
class Daemon:
    """A job that launchd runs without anybody logged in; a daemon, or one that ends.

    Attributes:
        settings: the plist's keys, without label and stamp.
        read: SHA-256 by path of managed files the daemon reads at start.
        running: whether it must be running; otherwise loaded is enough.
        wait: seconds until it must be running.
    """

    label: str
    settings: Mapping[str, Json]
    read: Mapping[str, str] = field(default_factory=dict)
    running: bool = True
    wait: float = 30.0

    @property
    def path(self) -> str:
        """Where the plist stands."""
        return f"/Library/LaunchDaemons/{self.label}.plist"

    @property
    def configuration(self) -> str:
        """SHA-256 of what the daemon runs with."""
        parts = [self.label, self.settings, sorted(self.read.items())]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def plist(self) -> bytes:
        """Return the plist's bytes."""
        environment = self.settings.get("EnvironmentVariables")
        variables = dict(environment) if isinstance(environment, Mapping) else {}
        variables[STAMP] = self.configuration
        document = {**self.settings, "Label": self.label, "EnvironmentVariables": variables}
        return plistlib.dumps(document, sort_keys=True)

    def probe(self) -> str:
        """Return script text that prints the plist's digest, mode and owner, and what launchd has loaded."""
        target = quote(f"system/{self.label}")
        return (
            f"p={quote(self.path)}\n"
            f'if [ -f "$p" ]; then printf \'plist \'; stat -f {quote(ownership.FORMAT)} "$p"'
            ' && shasum -a 256 < "$p" || exit 1\n'
            "else echo 'plist absent'; echo -; fi\n"
            f'if loaded=$(launchctl print {target} 2>&1); then echo loaded; else echo "unloaded $?"; fi\n'
            "printf '%s\\n' \"$loaded\""
        )

    def parse(self, text: str) -> dict[str, Value] | None:
        """Return the state that the probe's text shows; None when there is neither plist nor service.

        Raises:
            ValueError: the text does not have the probe's form, or launchctl failed otherwise.
        """
        lines = text.splitlines()
        if len(lines) < 3 or not lines[0].startswith("plist "):
            raise ValueError(f"{self.label}: {text.strip() or 'no answer'}")
        on_disk: dict[str, Value] = {"plist": None, "mode": None, "owner": None}
        if lines[0] != "plist absent":
            line = lines[0].removeprefix("plist ")
            on_disk = {"plist": lines[1].split(" ", 1)[0], **ownership.parse(line, _OWNER)}
        loaded = _loaded(lines[2], "\n".join(lines[3:]))
        if loaded["loaded"] is None and on_disk["plist"] is None:
            return None
        return {**on_disk, **loaded}

    def desired(self) -> dict[str, Value]:
        """The plist, the configuration launchd has loaded, and whether the daemon runs."""
        state: dict[str, Value] = {
            "plist": hashlib.sha256(self.plist()).hexdigest(),
            "mode": _MODE,
            "owner": _OWNER,
            "loaded": self.configuration,
        }
        return {**state, **({"running": True} if self.running else {})}

    def explain(self, change: Change, actual: State | None) -> Change:
        """Return the change; a difference of what is loaded or running is a restart, said in words."""
        if actual is None or change.action is Action.NOOP:
            return change
        differing = {each.field for each in change.fields}
        if actual["loaded"] is None:
            return replace(change, action=Action.REPLACE, reason="daemon is not loaded → start")
        if "loaded" in differing:
            return replace(change, action=Action.REPLACE, reason="loaded configuration differs → restart")
        if "running" in differing:
            reason = f"daemon is {actual['state']} → restart"
            return replace(change, action=Action.REPLACE, reason=reason)
        return change

    def steps(self, differing: set[str]) -> tuple[Step, ...]:
        """Write the plist where it differs; unload, load and start where launchd differs."""
        steps: list[Step] = []
        if differing & {"plist", "mode", "owner"}:
            steps.append(Put(self.path, self.plist(), _MODE, become=True, owner=_OWNER))
        if differing & {"loaded", "running"}:
            steps.append(Run(self._reload(), become=True, limit=self.wait + 60))
        return tuple(steps)

    def removal(self) -> str:
        """Return script text, for root, that unloads the job and removes its plist."""
        return f"{self._unload()}set -e\nrm -f {quote(self.path)}"

    def _unload(self) -> str:
        """Return text that may be repeated: bootout ends in the background, so it is waited for."""
        target = quote(f"system/{self.label}")
        return (
            f"launchctl bootout {target} 2>/dev/null\n"
            "case $? in 0|3|5|36|113) ;; *) echo 'launchctl bootout failed' >&2; exit 1 ;; esac\n"
            f"n=0\nwhile launchctl print {target} >/dev/null 2>&1; do\n"
            "n=$((n + 1)); [ \"$n\" -lt 150 ] || { echo 'the daemon does not end' >&2; exit 1; }\n"
            "sleep 0.2\ndone\n"
        )

    def _reload(self) -> str:
        target = quote(f"system/{self.label}")
        return (
            f"{self._unload()}set -e\n"
            f"launchctl enable {target}\n"
            f"launchctl bootstrap system {quote(self.path)}\n"
            f"{self._start() if self.running else ':'}"
        )

    def _start(self) -> str:
        target = quote(f"system/{self.label}")
        log = self.settings.get("StandardErrorPath")
        lines = f"tail -n 20 {quote(log)} >&2; " if isinstance(log, str) else ""
        running = f"launchctl print {target} 2>/dev/null | grep -q 'state = running'"
        return (
            f"launchctl kickstart {target}\n"
            f"failed() {{ launchctl print {target} >&2; {lines}exit 1; }}\n"
            f"n=0\nuntil {running}; do\n"
            f'n=$((n + 1)); [ "$n" -lt {int(self.wait * 5)} ] || failed\nsleep 0.2\ndone\n'
            # one that ends at once counts as running for a moment
            f"sleep 1\n{running} || failed"
        )


def _loaded(verdict: str, printed: str) -> dict[str, Value]:
    """Return the loaded configuration and state from what ``launchctl print`` said.

    Raises:
        ValueError: it failed for another reason than an unknown service, or shows no state.
    """
    if verdict.startswith("unloaded "):
        if verdict != f"unloaded {_ABSENT_STATUS}" and "could not find service" not in printed.lower():
            raise ValueError(f"launchctl print failed: {printed.strip() or verdict}")
        return {"loaded": None, "running": False, "state": "not loaded"}
    state = _STATE.search(printed)
    if verdict != "loaded" or state is None:
        raise ValueError(f"launchctl print shows no state: {printed.strip()[:200]!r}")
    stamped = _STAMPED.search(printed)
    configuration = stamped.group(1) if stamped else "unknown"
    return {"loaded": configuration, "running": state.group(1) == "running", "state": state.group(1)}
