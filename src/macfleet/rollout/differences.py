"""What a plan would change in text: read when somebody asks to see it, and kept nowhere."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence

from macfleet.engine.observe import ask
from macfleet.model.ports import Transport
from macfleet.model.resource import Change, Probe, ProbeOutput, Resource
from macfleet.model.shell import quote
from macfleet.resources.ownership import FORMAT, as_root
from macfleet.resources.texts import WantedText, changed_fields, wanted_texts
from macfleet.rollout.planning import NodePlan
from macfleet.rollout.ports import Ports

LINES = 200
"""Lines of one difference that are shown."""
_LARGEST = 64 * 1024
_PRIVATE = 9
_CONTEXT = 2


def differences(planned: NodePlan, ports: Ports) -> Mapping[str, str]:
    """Return what changes in text by address; one exec reads the files whose text is concerned.

    Secrets, files that not everybody may read, what is no text and what is larger than 64 KiB are told in
    words instead.

    Raises:
        NodeUnreachable, DeadlineExceeded: from the transport.
    """
    changes = {change.address: change for change in planned.plan.pending if not change.blocked}
    resources = [each for each in planned.compiled.resources if each.address in changes]
    return of_changes(resources, changes, ports.transports.to(planned.node), nonce=ports.nonce)


def of_changes(
    resources: Sequence[Resource],
    changes: Mapping[str, Change],
    transport: Transport,
    *,
    nonce: Callable[[], str],
) -> Mapping[str, str]:
    """Return the same for resources of one node, each with its change (raises what the transport raises)."""
    texts = {
        (each.address, wanted.path): wanted
        for each in resources
        for wanted in wanted_texts(each, changes[each.address])
    }
    probes = {
        "\n".join(place): Probe(_reading(wanted), lambda _: None)
        for place, wanted in texts.items()
        if not wanted.hidden
    }
    told = ask(probes, transport, nonce=nonce) if probes else {}
    found: dict[str, list[str]] = {}
    for each in resources:
        if lines := changed_fields(each, changes[each.address]):
            found.setdefault(each.address, []).extend(lines)
    for place, wanted in texts.items():
        if text := _difference(wanted, told.get("\n".join(place))):
            found.setdefault(place[0], []).append(text)
    return {address: "\n".join(parts) for address, parts in found.items()}


def _reading(wanted: WantedText) -> str:
    text = (
        f'p={quote(wanted.path)}\nif [ -f "$p" ] && [ ! -L "$p" ]; then\n'
        f'm=$(stat -f {quote(FORMAT)} "$p")\n'
        f'case ${{m%% *}} in *[4567]) head -c {_LARGEST + 1} "$p" ;; *) exit {_PRIVATE} ;; esac\nfi'
    )
    return as_root(text, become=wanted.become)


def _difference(wanted: WantedText, told: ProbeOutput | None) -> str:
    if told is None or told.exit == _PRIVATE:
        return "not shown: not everybody may read it"
    if told.exit != 0 or told.cut:
        return "not shown: it could not be read"
    if max(len(told.stdout.encode()), len(wanted.content)) > _LARGEST:
        return f"not shown: larger than {_LARGEST // 1024} KiB"
    before, after = told.stdout, wanted.content.decode("utf-8", "replace")
    if any(sign in text for text in (before, after) for sign in "\0\ufffd"):
        return "not shown: not text"
    if wanted.between is not None:
        before = _between(before, *wanted.between)
    return "\n".join(_unified(before, after, wanted.path))


def _between(text: str, begin: str, end: str) -> str:
    """Return the lines that stand between two others, which stand there once; empty where they do not."""
    lines = text.splitlines(keepends=True)
    bare = [line.rstrip("\r\n") for line in lines]
    if begin not in bare or end not in bare[bare.index(begin) :]:
        return ""
    first = bare.index(begin)
    return "".join(lines[first + 1 : bare.index(end, first)])


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
