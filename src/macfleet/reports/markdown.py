"""A comparison as Markdown that reads well as plain text too."""

from __future__ import annotations

from collections.abc import Iterable

from macfleet.reports.comparison import Column, Comparison
from macfleet.reports.layout import Layout, Section, lay_out
from macfleet.reports.verdicts import NodeVerdict

METHOD = (
    "tokens/s: generated-token events in the window over its length. p95: end to end, a failure counts "
    "as +∞. Brackets: two-sided 95 % intervals (order statistics for percentiles, moving blocks for rates "
    "and series, pairs of segments for ratios of arms). Verdicts rest on one-sided 95 % bounds."
)


def markdown(comparison: Comparison) -> str:
    """Return the whole report; the verdict first, the method last."""
    layout = lay_out(comparison)
    lines = ["# Comparison", "", "## Verdict", ""]
    for verdict in layout.verdicts:
        lines += _verdict(verdict)
    lines += ["", *(f"> **Note:** {_escaped(notice)}  " for notice in layout.notices)]
    lines += [""] if layout.notices else []
    lines += ["## Environment", "", f"- {layout.head}", *(f"- {_escaped(e)}" for e in layout.environment)]
    lines += [f"- same: {_escaped(', '.join(layout.same))}"] if layout.same else []
    lines += ["", "## Figures", "", *_table(layout)]
    lines += ["", "## Evidence", "", *_evidence(comparison), "", "## Method", "", METHOD, ""]
    return "\n".join(lines)


def _verdict(verdict: NodeVerdict) -> Iterable[str]:
    yield f"- **{verdict.node}** {verdict.symbol} {_escaped(verdict.text)}"
    yield from (f"  - {_escaped(sentence)}" for sentence in (*verdict.why, *verdict.invalid))
    if verdict.mend:
        words, colon, command = _escaped(verdict.mend).partition(": ")
        yield f"  - → {words}{colon}`{command}`"


def _once_a_node(comparison: Comparison) -> Iterable[Column]:
    seen = {(column.run, column.node): column for column in reversed(comparison.columns)}
    return reversed(seen.values())


def _table(layout: Layout) -> Iterable[str]:
    yield _line("", layout.titles)
    yield _line("---", ["---:"] * len(layout.titles))
    for section in layout.sections:
        yield from _rows(section, len(layout.titles))


def _rows(section: Section, width: int) -> Iterable[str]:
    yield _line(f"**{section.title}**", [""] * width)
    for row in section.rows:
        yield _line(row.label, [_escaped(text) for text in row.texts])


def _evidence(comparison: Comparison) -> Iterable[str]:
    for column in _once_a_node(comparison):
        for judgement in column.judgements:
            if judgement.evidence:
                names = ", ".join(f"`{name}`" for name in judgement.evidence)
                yield f"- {column.node} {judgement.threshold}: {names}"


def _line(label: str, texts: Iterable[str]) -> str:
    return f"| {' | '.join([label, *texts])} |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
