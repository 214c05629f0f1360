"""Weights, caches and logs lie on fast local disks, apart from each other."""

from __future__ import annotations

import re
from dataclasses import dataclass

from macfleet.gates.gate import GateContext, held, missing, passed, record
from macfleet.model.node import Roots
from macfleet.model.resource import Probe, ProbeOutput, State
from macfleet.model.shell import quote
from macfleet.model.stage import Evidence, EvidenceRequest, ProbeRequest, Verdict

_NAME = "layout.mounts"
# `<device> on <mount point> (<kind>, <option>, …)`; both device and mount point may hold spaces.
_MOUNT = re.compile(r"^(.+) on (/.*) \(([^,)]+)([^)]*)\)$")
_ICLOUD = ("/Library/Mobile Documents", "/Desktop/", "/Documents/")


@dataclass(frozen=True, slots=True)
class MountsLocal:
    """Refuses network, removable, iCloud-synced and non-APFS paths, and roots inside each other."""

    kinds: tuple[str, ...] = ("apfs",)
    refuse: tuple[str, ...] = ("icloud", "removable")
    kind: str = "mounts_local"
    before: bool = True

    def needs(self, context: GateContext) -> tuple[EvidenceRequest, ...]:
        """The mount table and where each root lies in it, symbolic links followed."""
        if context.node.roots is None:
            return ()
        return (ProbeRequest(_NAME, Probe(_script(context.node.roots), _parse, 10)),)

    def judge(self, context: GateContext, evidence: Evidence) -> Verdict:
        """Hold with every root that lies wrong."""
        roots = context.node.roots
        if roots is None:
            reasons: tuple[str, ...] = ("the inventory declares no roots",)
            return held(self.kind, context, reasons, "Add roots: to the node's variables.")
        if _NAME not in evidence:
            return missing(self.kind, context, _NAME)
        found = record(evidence[_NAME])
        reasons = (*self._faults(roots, found), *_overlaps(roots))
        if reasons:
            mend = f"Move them to a local APFS disk and mend roots of {context.node.name}."
            return held(self.kind, context, reasons, mend, (_NAME,))
        return passed(self.kind, context, evidence=(_NAME,))

    def _faults(self, roots: Roots, found: object) -> tuple[str, ...]:
        table = record(found if isinstance(found, dict) else {})
        reasons = []
        for name, path in _named(roots):
            kind, _, point = str(table.get(name, "unknown ")).partition(" ")
            if kind not in self.kinds:
                reasons.append(f"{name} on {point or path} ({kind}), allowed: {', '.join(self.kinds)}")
            if "removable" in self.refuse and point.startswith("/Volumes/"):
                reasons.append(f"{name} on {point} (removable)")
            real = str(table.get(f"{name}.path", path))
            if "icloud" in self.refuse and any(
                part in f"{place}/" for place in (path, real) for part in _ICLOUD
            ):
                reasons.append(f"{name} at {real} is synced by iCloud")
        return tuple(reasons)


def _named(roots: Roots) -> tuple[tuple[str, str], ...]:
    return (("weights", roots.weights), ("cache", roots.cache), ("logs", roots.logs))


def _overlaps(roots: Roots) -> tuple[str, ...]:
    """Logs inside the weights' directory interfere with mmap reads; Colima refuses nested mounts anyway."""
    named = _named(roots)
    return tuple(
        f"{name} at {path} lies inside {other} at {outer}"
        for name, path in named
        for other, outer in named
        if name != other and f"{path.rstrip('/')}/".startswith(f"{outer.rstrip('/')}/")
    )


def _script(roots: Roots) -> str:
    lines = [
        f"""printf 'root {name} %s\\n' "$(cd {quote(path)} 2>/dev/null && pwd -P || echo {quote(path)})\""""
        for name, path in _named(roots)
    ]
    return "\n".join([*lines, "echo mounts", "mount"])


def _parse(output: ProbeOutput) -> State:
    head, found, table = output.stdout.partition("\nmounts\n")
    if output.exit != 0 or not found:
        raise ValueError("mount printed no table")
    mounts = [m.groups() for m in (_MOUNT.match(line) for line in table.splitlines()) if m]
    state: dict[str, str] = {}
    for line in head.splitlines():
        _, name, path = line.split(" ", 2)
        inside = [
            (point, kind) for _, point, kind, _ in mounts if f"{path}/".startswith(point.rstrip("/") + "/")
        ]
        point, kind = max(inside, key=lambda pair: len(pair[0]), default=("", "unknown"))
        state[name] = f"{kind} {point}"
        state[f"{name}.path"] = path
    return state
