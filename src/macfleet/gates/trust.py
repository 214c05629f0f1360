"""Which images may be placed on which nodes: the label `trust` of both."""

from __future__ import annotations

from dataclasses import dataclass

from macfleet.model.diagnostic import Diagnostic, Location
from macfleet.model.exit_codes import ExitCode

TRUSTED, FLAGGED, UNTRUSTED = "trusted", "flagged", "untrusted"
_ORDER = (TRUSTED, FLAGGED, UNTRUSTED)


@dataclass(frozen=True, slots=True)
class Trust:
    """How far an image is trusted, and who says so.

    Attributes:
        level: ``trusted``, ``flagged`` or ``untrusted``.
        where: line of images.yml that says so; None where nothing or a scan does.
        found: what a scan found that flags the image.
    """

    level: str = TRUSTED
    where: Location | None = None
    found: tuple[str, ...] = ()


def may_place(image: Trust, node: str) -> bool:
    """Whether an image may go to a node with this label.

    A node labelled ``untrusted`` takes flagged images too; a label of other words takes trusted ones only.
    """
    taken = _ORDER.index(node) if node in _ORDER else 0
    return _ORDER.index(image.level) <= taken


def trust_of(declared: Trust, found: tuple[str, ...]) -> Trust:
    """Return how far an image is trusted once it is known what in its scan flags it."""
    if declared.level != TRUSTED or not found:
        return declared
    return Trust(FLAGGED, None, found)


def misplaced(name: str, image: Trust, node: str, label: str) -> Diagnostic:
    """Return the refusal of an image on a node: exit 2 where images.yml says it, 7 where a scan does."""
    found = f", its scan found {image.found[0]}" if image.found else ""
    found += f" and {len(image.found) - 1} more" if len(image.found) > 1 else ""
    said = f" ({image.where})" if image.where else found
    return Diagnostic(
        "E0740",
        f"image {name} is {image.level}{said}, and node {node} takes only {_taken(label)} images",
        why="An image that is flagged or not trusted stays off nodes that nobody set apart for it.",
        mend=f"Set a node apart with trust: {image.level} in the inventory, or use another image.",
        exit_code=ExitCode.HELD if image.found else ExitCode.USAGE,
    )


def _taken(label: str) -> str:
    return f"{TRUSTED} and {FLAGGED}" if label == FLAGGED else TRUSTED
