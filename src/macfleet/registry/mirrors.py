"""Mirrors of registries: asked first for what a digest names, and believed by the digest alone.

Tags are never asked of a mirror: what a tag means is said by the registry that owns it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from tempfile import SpooledTemporaryFile
from typing import TypeVar

from macfleet.model.diagnostic import Diagnostic, MacfleetError, Severity
from macfleet.model.image import Blob
from macfleet.model.reference import Reference
from macfleet.registry.proof import verified
from macfleet.registry.wire import Wire

Answered = TypeVar("Answered")
_PIECE = 256 * 1024
_IN_MEMORY = 8 * 1024 * 1024
_MISSING = "E0602"


class Mirrors:
    """The mirrors of each registry; safe to share between threads.

    Args:
        wire: asks them; it should not be patient, since the registry itself is asked next.
        mirrors: ``host[:port]`` or ``host[:port]/folder``, in order, by registry host.
        told: is told once of each mirror that was passed over, as a warning.
    """

    def __init__(
        self, wire: Wire, mirrors: Mapping[str, Sequence[str]], told: Callable[[Diagnostic], None]
    ) -> None:
        self._wire = wire
        self._mirrors = {host: tuple(each) for host, each in mirrors.items()}
        self._told = told
        self._guard = threading.Lock()
        self._given_up: set[str] = set()
        self._lacking: set[tuple[str, str]] = set()

    def places(self, reference: Reference) -> tuple[Reference, ...]:
        """Return what a reference is called at the mirrors that are still asked, in order."""
        found = (reference.at(mirror) for mirror in self._mirrors.get(reference.registry, ()))
        return tuple(place for place in found if place.registry not in self._given_up)

    def first(self, reference: Reference, ask: Callable[[Wire, Reference], Answered]) -> Answered | None:
        """Return the first answer of a mirror that is proven; None where none has it.

        `ask` proves what it returns and raises MacfleetError for what it cannot believe.
        """
        for place in self.places(reference):
            try:
                return ask(self._wire, place)
            except MacfleetError as error:
                self._pass_over(place, error)
        return None

    def layer(self, reference: Reference, blob: Blob) -> Iterator[bytes] | None:
        """Return a layer's bytes from the first mirror that has them, all proven; None where none has."""
        return self.first(reference, lambda wire, place: _proven(wire, place, blob))

    def close(self) -> None:
        """Close all connections."""
        self._wire.close()

    def _pass_over(self, place: Reference, error: MacfleetError) -> None:
        first = error.diagnostics[0]
        with self._guard:
            if first.code == _MISSING:
                known = (place.registry, place.path) in self._lacking
                self._lacking.add((place.registry, place.path))
            else:
                known = place.registry in self._given_up
                self._given_up.add(place.registry)
        if not known:
            self._told(_passed_over(place, first))


def _proven(wire: Wire, place: Reference, blob: Blob) -> Iterator[bytes]:
    """Read a whole layer before any of it is passed on: another place cannot go on with a lie."""
    kept = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115  (closed by whoever reads it to its end)
    try:
        for piece in verified(wire.stream(place.registry, place.path, f"blobs/{blob.digest}"), blob):
            kept.write(piece)
    except BaseException:
        kept.close()
        raise
    kept.seek(0)

    def read() -> Iterator[bytes]:
        with kept:
            while piece := kept.read(_PIECE):
                yield piece

    return read()


def _passed_over(place: Reference, why: Diagnostic) -> Diagnostic:
    return replace(
        why,
        code="E0658",
        summary=f"mirror {place.registry} was passed over for {place.path}: {why.summary} ({why.code})",
        why="What a mirror says is believed by its digest alone; the next place is asked instead.",
        mend="Mend the mirror, or take it out of mirrors: in images.yml.",
        severity=Severity.WARNING,
    )
