"""What a bundle printed, taken apart again: each fragment's own output by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from macfleet.engine.files import Tables, tables_of
from macfleet.engine.script import Fragment
from macfleet.model.resource import ProbeOutput


def unbundle(
    fragments: Sequence[Fragment], stdout: str, *, nonce: str, stderr: str = ""
) -> Mapping[str, ProbeOutput]:
    """Return each fragment's output by name; fragments that did not run are missing.

    `stderr` is the script's own, to which plain probes write: those that failed get all of it. The nonce is
    unguessable for the node, so printed text cannot pass for a marker.
    """
    sections = [part.partition("\n")[::2] for part in stdout.split(f"\n--{nonce} ")[1:]]
    tables = tables_of(sections)
    answer = _Answer(fragments, stderr)
    for label, body in sections:
        word, *fields = label.split()
        if word == "out":
            answer.begin(int(fields[0]), int(fields[1]), body, cut=fields[2] == "1")
        elif word == "file":
            answer.asked = True
        elif word == "look":
            answer.out = body
        elif word == "part":
            answer.part(int(fields[0]), int(fields[1]), tables)
            answer.out = body
        elif word == "err":
            answer.end(body)
    return answer.found


class _Answer:
    """The sections of an answer while they are put together."""

    def __init__(self, fragments: Sequence[Fragment], stderr: str) -> None:
        self._fragments, self._stderr = fragments, stderr
        self._head: tuple[int, int, bool] | None = None
        self._parts: list[str] = []
        self.found: dict[str, ProbeOutput] = {}
        self.out = ""
        self.asked = False

    def begin(self, index: int, exit_status: int, out: str, *, cut: bool) -> None:
        """Take the head of a fragment, or of a group by its first member."""
        self._head, self._parts, self.out, self.asked = (index, exit_status, cut), [], out, False

    def part(self, index: int, exit_status: int, tables: Tables) -> None:
        """Take the end of a member of a group; what it asked about its file is in the tables."""
        fragment = self._fragments[index]
        lines = tables.of(fragment.file) if self.asked else ""
        self.asked = False
        self._parts.append(fragment.name)
        self.found[fragment.name] = (
            ProbeOutput(1, self.out, "its mode or its digest could not be read")
            if lines is None
            else ProbeOutput(exit_status, self.out + lines, self._stderr if exit_status else "")
        )

    def end(self, err: str) -> None:
        """Take what was printed on stderr: of the fragment, or of the member at which its group ended."""
        if self._head is None:
            return
        first, exit_status, cut = self._head
        at = first + len(self._parts)
        if at == first or (cut and at < len(self._fragments)):
            own = err or (self._stderr if self._fragments[at].shares else "")
            self.found[self._fragments[at].name] = ProbeOutput(exit_status, self.out, own, cut)
