"""A script's answer as it arrives: what began, what was printed meanwhile, what ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

LIMIT = 64 * 2**20
_LATER = frozenset({"tail"})
"""Words whose body is wanted and not there before the next marker."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One marker: its word, the fields after it, and for ``tail`` the text that followed."""

    word: str
    fields: tuple[str, ...]
    body: str = ""


class Hearing:
    """The sink of one script.

    Args:
        node: inventory name.
        mark: what begins a marker's line; no node can guess it beforehand.
        told: called with the markers of each piece that arrived, when there are any.
    """

    def __init__(self, node: str, mark: str, told: Callable[[Sequence[Heard]], None]) -> None:
        self._node = node
        self._mark = f"\n{mark} ".encode()
        self._told = told
        self._bytes = bytearray()
        self._read = 0
        self._waiting: Heard | None = None
        self._body = 0

    @property
    def text(self) -> str:
        """Everything that arrived."""
        return self._bytes.decode("utf-8", "replace")

    def feed(self, piece: bytes) -> None:
        """Take a piece of stdout in (raises MacfleetError E0574 beyond 64 MiB)."""
        self._bytes += piece
        if len(self._bytes) > LIMIT:
            raise MacfleetError(_too_much(self._node))
        if found := self._markers():
            self._told(found)

    def _markers(self) -> list[Heard]:
        found: list[Heard] = []
        while True:
            start = self._bytes.find(self._mark, self._read)
            end = self._bytes.find(b"\n", start + len(self._mark)) if start >= 0 else -1
            if end < 0:
                # A marker may be cut anywhere: its beginning is looked for again with the next piece.
                if start < 0:
                    self._read = max(self._read, len(self._bytes) - len(self._mark))
                return found
            if self._waiting is not None:
                body = self._bytes[self._body : start].decode("utf-8", "replace")
                found.append(Heard(self._waiting.word, self._waiting.fields, body))
                self._waiting = None
            words = self._bytes[start + len(self._mark) : end].decode("utf-8", "replace").split()
            if words:
                heard = Heard(words[0], tuple(words[1:]))
                if heard.word in _LATER:
                    self._waiting, self._body = heard, end + 1
                else:
                    found.append(heard)
            # The newline that ends this marker's line may begin the next one.
            self._read = end


def _too_much(node: str) -> Diagnostic:
    return Diagnostic(
        "E0574",
        f"a script printed more than {LIMIT // 2**20} MiB",
        why="No step or probe has so much to say; what it printed is not kept.",
        mend="Send its output to a file on the node.",
        node=node,
        exit_code=ExitCode.NODE_FAILED,
    )
