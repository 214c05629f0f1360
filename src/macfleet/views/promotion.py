"""What a promotion would bring, as lines and as JSON."""

from __future__ import annotations

from collections.abc import Iterator

from macfleet.model.json import Json
from macfleet.rollout.promotion import Difference, ImageMove, Promotion
from macfleet.views.flow import fold
from macfleet.views.table import lines as table

_DIGITS = 19
"""Of a digest, its algorithm included; enough to tell two apart."""


def lines(found: Promotion, width: int = 0) -> Iterator[str]:
    """Yield digests, then differences as compiled, then what else is to be known; `width` 0 folds nothing."""
    count = f"{len(found.nodes)} node{'' if len(found.nodes) == 1 else 's'}"
    yield f"{found.source} → {found.target}   release {found.before.id} → {found.release.id}   {count}"
    yield ""
    heads = ("", "image", found.target, "", found.source, "reference")
    yield from table(heads, [_image(each) for each in found.images], width, gap="  ")
    yield ""
    if found.differences:
        rows = [_difference(each) for each in found.differences]
        heads = ("", "as compiled", found.source, found.target, "nodes", "")
        yield from table(heads, rows, width, gap="  ")
    else:
        yield "✓ Compose file, mounts and engine flags are the same"
    yield from _notes(found, width)


def document(found: Promotion, *, done: bool) -> dict[str, Json]:
    """Return the promotion as JSON, schema 1; `done` says whether it was carried out."""
    return {
        "schema": 1,
        "kind": "promotion",
        "from": found.source,
        "to": found.target,
        "release": {"before": found.before.id, "after": found.release.id},
        "promoted": done,
        "images": [
            {"image": each.name, "reference": each.reference, "before": each.before, "after": each.after}
            for each in found.images
        ],
        "differences": [
            {
                "what": each.what,
                "from": each.before,
                "to": each.after,
                "nodes": list(each.nodes),
                "declared": each.declared or None,
            }
            for each in found.differences
        ],
        "unused": [str(each.where) for each in found.unused],
        "unproven": list(found.unproven),
        "back": list(found.back),
    }


def named(reference: str) -> str:
    """Return a reference without the digest that stands beside it."""
    return reference.partition("@")[0]


def moment(stamp: str) -> str:
    """Return an RFC 3339 time in UTC to the second, as tables show it."""
    return f"{stamp[:10]} {stamp[11:19]}Z"


def short(digest: str) -> str:
    """Return the beginning of a digest, a dash for none."""
    return f"{digest[:_DIGITS]}…" if digest else "–"


def _image(each: ImageMove) -> tuple[str, ...]:
    if each.before == each.after:
        return "·", each.name, short(each.before), "=", short(each.after), named(each.reference)
    symbol = "~" if each.before and each.after else "+" if each.after else "-"
    return symbol, each.name, short(each.before), "←", short(each.after), named(each.reference)


def _difference(each: Difference) -> tuple[str, ...]:
    nodes = ", ".join(each.nodes)
    if each.declared:
        return "✓", each.what, each.before, each.after, nodes, f"declared: {each.declared}"
    return "✗", each.what, each.before, each.after, nodes, "not declared"


def _notes(found: Promotion, width: int) -> Iterator[str]:
    """Yield what does not refuse it."""
    notes = [
        f"? stage 3 has not passed with this release on {', '.join(found.unproven)}: nothing shows it serves"
        if found.unproven
        else "",
        f"! {', '.join(found.back)} went back by itself and goes along" if found.back else "",
        *(f"· {each.where}: declared, but there is no such difference" for each in found.unused),
    ]
    for note in filter(None, notes):
        yield from fold(note, width, indent="  ")
