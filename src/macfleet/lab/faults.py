"""Faults of a lab node behind one call: each is planted, seen and ended, and may be asked for twice."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from difflib import get_close_matches

from macfleet.lab.docker import Docker, find_docker
from macfleet.lab.nodeimage import NODE_FILES
from macfleet.lab.nodes import containers
from macfleet.lab.state import LabConfig, LabNode, LabState, read_state
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

_PROGRAMS = ("fault", "slow_disk")
_FOLDER = "/run/lab-faults"
_SECONDS = 240.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that can be broken.

    Attributes:
        does: what is broken while it is there.
        ends: what ends it besides `--off`.
    """

    kind: str
    does: str
    ends: str


UNREACHABLE, UNPLUGGED = "unreachable", "unplugged"
FAULTS: Mapping[str, Fault] = {
    each.kind: each
    for each in (
        Fault(
            "clock-skew",
            "the VM's clock stands 5 minutes behind the node's, as after a sleep; facts name it as planted",
            "the VM's end",
        ),
        Fault(
            "disk-slow",
            "the VM reads weights from a slow disk, 3.5 ms a read, no page cache; the node itself does not",
            "the VM's end",
        ),
        Fault(
            "engine-slow",
            "the engines of all arms stand still two thirds of the time, 0.1 s at a stretch",
            "the node's restart",
        ),
        Fault(
            "forwarder-dead",
            "the VM runs, and neither its ports nor its Docker socket reach the Mac side",
            "macfleet apply playbooks/site.yml",
        ),
        Fault(
            "host-memory",
            "85 % of unified memory is said to be used; facts name it as planted",
            "nothing else",
        ),
        Fault(
            "iowait-hidden",
            "the VM counts waiting for disks as idle, as virtiofs does; facts name it as planted",
            "the VM's end",
        ),
        Fault("unplugged", "the node is without power", "macfleet lab up"),
        Fault("unreachable", "the node runs and its network cable is out", "nothing else"),
        Fault("vm-stopped", "the VM is gone, the node runs", "macfleet apply playbooks/site.yml"),
    )
}


def plant(config: LabConfig, node: str, kind: str) -> bool:
    """Break one thing of a node.

    Returns:
        False where it was broken already.

    Raises:
        MacfleetError: E0480 no such fault, E0481 no such node, E0482 it cannot be planted as the node is,
            E0483 no lab is up here.
    """
    return _change(config, node, kind, on=True)


def end(config: LabConfig, node: str, kind: str) -> bool:
    """Mend one thing of a node.

    Returns:
        False where it was not broken.

    Raises:
        MacfleetError: as `plant` does.
    """
    return _change(config, node, kind, on=False)


def planted(docker: Docker, config: LabConfig, state: LabState) -> dict[str, tuple[str, ...]]:
    """Return the faults that are there, sorted, by node; a node without one is left out."""
    present = containers(docker, config)

    def look(node: LabNode) -> tuple[str, ...]:
        found = present.get(node.container)
        if found is None:
            return ()
        if not found.running:
            return (UNPLUGGED,)
        cut = () if _is_connected(docker, config, node) else (UNREACHABLE,)
        asked = docker.attempt("exec", node.container, *_program("list"))
        inside = asked.stdout.decode().split() if asked.returncode == 0 else []
        return tuple(sorted((*cut, *inside)))

    with ThreadPoolExecutor(max_workers=4) as pool:
        found = dict(zip((node.name for node in state.nodes), pool.map(look, state.nodes), strict=True))
    return {name: kinds for name, kinds in found.items() if kinds}


def active(config: LabConfig) -> dict[str, tuple[str, ...]]:
    """Return the faults that are there by node (raises MacfleetError E0483 where no lab is up)."""
    docker, state = _lab(config)
    return planted(docker, config, state)


def _change(config: LabConfig, name: str, kind: str, *, on: bool) -> bool:
    if kind not in FAULTS:
        raise MacfleetError(_unknown("E0480", f"there is no fault {kind}", kind, tuple(FAULTS)))
    docker, state = _lab(config)
    names = tuple(node.name for node in state.nodes)
    if name not in names:
        raise MacfleetError(_unknown("E0481", f"the lab has no node {name}", name, names))
    node = next(each for each in state.nodes if each.name == name)
    running = containers(docker, config)[node.container].running
    if kind == UNPLUGGED:
        return _power(docker, node, running=running, on=on)
    if kind == UNREACHABLE:
        return _cable(docker, config, node, on=on)
    if not running:
        raise MacfleetError(_cannot(node, kind, "the node is without power"))
    return _inside(docker, node, kind, on=on)


def _lab(config: LabConfig) -> tuple[Docker, LabState]:
    docker, state = find_docker(), read_state(config)
    if docker is None or state is None or not docker.answers():
        raise MacfleetError(
            Diagnostic(
                "E0483",
                "no lab is up here",
                why=f"There is no lab.json in {config.state_dir}, or no Docker Engine answers.",
                mend="macfleet lab up",
                exit_code=ExitCode.USAGE,
            )
        )
    return docker, state


def _power(docker: Docker, node: LabNode, *, running: bool, on: bool) -> bool:
    if running is not on:
        return False
    docker.run(*(("stop", "--time", "5") if on else ("start",)), node.container)
    return True


def _cable(docker: Docker, config: LabConfig, node: LabNode, *, on: bool) -> bool:
    if _is_connected(docker, config, node) is not on:
        return False
    if on:
        docker.run("network", "disconnect", config.name, node.container)
    else:
        docker.run("network", "connect", "--ip", node.address, config.name, node.container)
    return True


def _is_connected(docker: Docker, config: LabConfig, node: LabNode) -> bool:
    form = f'{{{{index .NetworkSettings.Networks "{config.name}" | json}}}}'
    return docker.run("inspect", "--format", form, node.container) != "null"


def _inside(docker: Docker, node: LabNode, kind: str, *, on: bool) -> bool:
    """Have the node's own program do it; it is brought along, so that older nodes have it too."""
    docker.run("exec", node.container, "/opt/linux-real/bin/mkdir", "-p", _FOLDER)
    # `docker cp` does not reach a tmpfs of the container; tar inside does.
    docker.run(
        *("exec", "-i", node.container, "/opt/linux-real/bin/tar", "-x", "-C", _FOLDER), stdin=_archive()
    )
    asked = docker.attempt("exec", node.container, *_program("on" if on else "off", kind), timeout=_SECONDS)
    if asked.returncode:
        raise MacfleetError(_cannot(node, kind, asked.stderr.decode(errors="replace").strip()[-400:]))
    return asked.stdout.decode().strip() in ("planted", "ended")


def _program(*words: str) -> tuple[str, ...]:
    return ("/opt/lab/python/bin/python3", "-S", "-E", f"{_FOLDER}/fault", *words)


def _archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in _PROGRAMS:
            content = (NODE_FILES / "faults" / name).read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _unknown(code: str, summary: str, said: str, known: tuple[str, ...]) -> Diagnostic:
    near = get_close_matches(said, known, 1)
    return Diagnostic(
        code,
        summary,
        why=f'Did you mean "{near[0]}"?' if near else f"There are {', '.join(known)}.",
        mend="macfleet lab fault",
        exit_code=ExitCode.USAGE,
    )


def _cannot(node: LabNode, kind: str, why: str) -> Diagnostic:
    return Diagnostic(
        "E0482",
        f"{kind} cannot be changed on this node as it is now",
        why=f"{why[:1].upper()}{why[1:]}." if why else "",
        mend="macfleet lab status; a node whose VM runs: macfleet apply playbooks/site.yml",
        node=node.name,
        exit_code=ExitCode.NODE_FAILED,
    )
