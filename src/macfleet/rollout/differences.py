"""What a plan would change in the text of files: read when somebody asks to see it, and kept nowhere."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

from macfleet.engine.observe import ask
from macfleet.model.resource import Probe, ProbeOutput
from macfleet.model.shell import quote
from macfleet.resources.file import File
from macfleet.resources.ownership import FORMAT, as_root
from macfleet.rollout.planning import NodePlan
from macfleet.rollout.ports import Ports

LINES = 200
"""Lines of one difference that are shown."""
_LARGEST = 64 * 1024
_PRIVATE = 9
_CONTEXT = 2


def differences(planned: NodePlan, ports: Ports) -> Mapping[str, str]:
    """Return a unified difference by address for each file that the plan writes or removes; one exec.

    Secrets, files that not everybody may read, what is no text and what is larger than 64 KiB are told in
    words instead.

    Raises:
        NodeUnreachable, DeadlineExceeded: from the transport.
    """
    pending = {change.address for change in planned.plan.pending if not change.blocked}
    files = {r.address: r for r in planned.compiled.resources if isinstance(r, File) and r.address in pending}
    probes = {
        name: Probe(_reading(file), lambda _: None) for name, file in files.items() if not _hidden(file)
    }
    told = ask(probes, ports.transports.to(planned.node), nonce=ports.nonce) if probes else {}
    found = {name: _difference(file, told.get(name)) for name, file in files.items()}
    return {name: text for name, text in found.items() if text}


def _hidden(file: File) -> bool:
    """Whether what is wanted must not be seen: a secret, or for not everybody to read."""
    return not isinstance(file.content, bytes) or not int(file.mode, 8) & 0o004


def _reading(file: File) -> str:
    text = (
        f'p={quote(file.path)}\nif [ -f "$p" ] && [ ! -L "$p" ]; then\n'
        f'm=$(stat -f {quote(FORMAT)} "$p")\n'
        f'case ${{m%% *}} in *[4567]) head -c {_LARGEST + 1} "$p" ;; *) exit {_PRIVATE} ;; esac\nfi'
    )
    return as_root(text, become=file.become)


def _difference(file: File, told: ProbeOutput | None) -> str:
    if told is None or told.exit == _PRIVATE:
        return "not shown: not everybody may read it"
    if told.exit != 0 or told.cut:
        return "not shown: it could not be read"
    wanted = file.content if isinstance(file.content, bytes) else b""
    if max(len(told.stdout.encode()), len(wanted)) > _LARGEST:
        return f"not shown: larger than {_LARGEST // 1024} KiB"
    after = wanted.decode("utf-8", "replace")
    if any(sign in text for text in (told.stdout, after) for sign in "\0\ufffd"):
        return "not shown: not text"
    return "\n".join(_unified(told.stdout, after, file.path))


def _unified(before: str, after: str, path: str) -> Iterator[str]:
    if before.splitlines() == after.splitlines():
        if before != after:
            yield "only the ends of lines differ"
        return
    lines = list(
        difflib.unified_diff(before.splitlines(), after.splitlines(), path, path, lineterm="", n=_CONTEXT)
    )
    yield from lines[:LINES]
    if len(lines) > LINES:
        yield f"… {len(lines) - LINES} lines more"
