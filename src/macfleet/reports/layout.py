"""The rows of a comparison as text, once for terminal and Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from macfleet.analysis.conditions import change, factor
from macfleet.model.node import Arm
from macfleet.model.run import CellSummary
from macfleet.reports import figures
from macfleet.reports.comparison import Column, Comparison, Gap
from macfleet.reports.environment import short
from macfleet.reports.headline import spoken


@dataclass(frozen=True, slots=True)
class Row:
    """One line: a label and one text a column."""

    label: str
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """Rows under one title; an empty title for the last word."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """A comparison as text.

    Attributes:
        head: one line of what is compared; environment: what differs, the image first.
        notices: what a reader must know before the figures.
        titles: one a column, with its group and the node's chip and memory.
        advice: sentences that follow from the verdicts; evidence: files they rest on.
    """

    head: str
    environment: tuple[str, ...]
    notices: tuple[str, ...]
    titles: tuple[str, ...]
    sections: tuple[Section, ...]
    advice: tuple[str, ...]
    evidence: tuple[str, ...]


def lay_out(comparison: Comparison) -> Layout:
    """Return every text of a comparison in its place."""
    columns = comparison.columns
    names = sorted({(c.bucket, c.concurrency, c.cell) for column in columns for c in column.cells})
    return Layout(
        head=(
            f"Baseline {comparison.baseline} · contract {comparison.contract[:12]} · "
            f"requests {comparison.sent[:12]} identical · vantage {comparison.vantage}"
        ),
        environment=tuple(_environment(comparison)),
        notices=comparison.notices,
        titles=tuple(_title(column) for column in columns),
        sections=(
            *(_cell_section(comparison, bucket, many, name) for bucket, many, name in names),
            _verdict_section(columns),
        ),
        advice=tuple(
            f"{node}: {sentence}"
            for node, sentences in dict.fromkeys((c.node, c.headline.advice) for c in columns)
            for sentence in sentences
        ),
        evidence=tuple(
            sorted({name.partition("#")[0] for c in columns for j in c.judgements for name in j.evidence})
        ),
    )


def _environment(comparison: Comparison) -> Iterable[str]:
    environment = comparison.environment
    answer = {"identical": "no", "changed": "yes"}.get(environment.images, environment.images)
    yield f"image changed: {answer}"
    for difference in environment.differences:
        values = " / ".join(short(value) for value in difference.values.values())
        yield f"{difference.name} {values}"
    if environment.same and len(comparison.columns) > 1:
        yield "same: " + ", ".join(f"{name} {short(value)}" for name, value in environment.same.items())
    elif environment.same:
        yield ", ".join(f"{name} {short(value)}" for name, value in environment.same.items())


def _title(column: Column) -> str:
    about = f"({column.about})" if column.about else ""
    group = "" if column.group in column.title.split() else column.group
    return " ".join(part for part in (group, column.title, about) if part)


def _cell_section(comparison: Comparison, bucket: str, concurrency: int, name: str) -> Section:
    columns = comparison.columns
    arms = sorted({cell.arm for column in columns for cell in column.cells if cell.cell == name})
    rows = [
        Row(f"{label} · {arm}", tuple(_figure(column, arm, name, show) for column in columns))
        for label, show in _METRICS
        for arm in arms
    ]
    rows = [row for row in rows if _worth_showing(row)]
    rows += _gap_rows(columns, name)
    if concurrency == 4:
        rows += _growth_rows(columns, bucket)
    if comparison.by == "arm":
        rows = _merged(rows)
    return Section(f"{bucket} × {concurrency}", tuple(rows))


_METRICS: Sequence[tuple[str, Callable[[CellSummary], str]]] = (
    ("tokens/s", lambda cell: figures.rate(cell.tokens_per_second)),
    ("p95", lambda cell: figures.seconds(cell.p95)),
    ("TTFT p50", lambda cell: figures.seconds(cell.ttft_p50)),
    ("requests", lambda cell: figures.count(cell.n)),
    ("errors", lambda cell: figures.percent(cell.errors)),
    ("host memory", lambda cell: figures.share(cell.memory)),
    ("VM iowait", lambda cell: figures.share(cell.iowait)),
)


def _figure(column: Column, arm: str, name: str, show: Callable[[CellSummary], str]) -> str:
    cell = next((each for each in column.cells if (each.arm, each.cell) == (arm, name)), None)
    if cell is None:
        return figures.MISSING
    return "INVALID" if cell.invalid else show(cell)


def _worth_showing(row: Row) -> bool:
    """Errors are shown where there are any, series where they were sampled."""
    nothing = {figures.MISSING, "0 %"} if row.label.startswith("errors") else {figures.MISSING}
    return not set(row.texts) <= nothing


def _merged(rows: Sequence[Row]) -> list[Row]:
    """By arm each column has one arm only, so rows that differ in the arm are one row."""
    merged: dict[str, tuple[str, ...]] = {}
    for row in rows:
        label = row.label.partition(" · ")[0]
        before = merged.get(label, tuple(figures.MISSING for _ in row.texts))
        merged[label] = tuple(
            new if new != figures.MISSING else old for old, new in zip(before, row.texts, strict=True)
        )
    return [Row(label, texts) for label, texts in merged.items()]


def _gap_rows(columns: Sequence[Column], name: str) -> list[Row]:
    kinds = dict.fromkeys(
        (gap.arm, gap.base) for column in columns for gap in column.gaps if gap.cell == name
    )
    return [
        Row(
            "GPU worth" if (arm, base) == (Arm.BARE, Arm.BARE_CPU) else f"{arm} vs {base}",
            tuple(_gap_text(_gap(column, arm, base, name), column) for column in columns),
        )
        for arm, base in kinds
    ]


def _gap(column: Column, arm: str, base: str, name: str) -> Gap | None:
    return next((gap for gap in column.gaps if (gap.arm, gap.base, gap.cell) == (arm, base, name)), None)


def _gap_text(gap: Gap | None, column: Column) -> str:
    if gap is None or gap.ratio is None:
        return figures.MISSING
    if (gap.arm, gap.base) == (Arm.BARE, Arm.BARE_CPU):
        return factor(gap.ratio)
    judged = any(judgement.threshold == "mounts-first" for judgement in column.judgements)
    if gap.arm != Arm.CONTAINER or gap.base not in (Arm.BARE, Arm.BARE_CPU) or not judged:
        return change(gap.ratio)
    return f"{change(gap.ratio)} { {True: '✓', False: '✗', None: '?'}[gap.within] }"


def _growth_rows(columns: Sequence[Column], bucket: str) -> list[Row]:
    arms = dict.fromkeys(
        growth.arm for column in columns for growth in column.growths if growth.bucket == bucket
    )
    return [
        Row(f"p95 c4/c1 · {arm}", tuple(_growth_text(column, arm, bucket) for column in columns))
        for arm in arms
    ]


def _growth_text(column: Column, arm: str, bucket: str) -> str:
    growth = next((each for each in column.growths if (each.arm, each.bucket) == (arm, bucket)), None)
    if growth is None or growth.ratio is None:
        return figures.MISSING
    return factor(growth.ratio)


def _verdict_section(columns: Sequence[Column]) -> Section:
    ids = dict.fromkeys(judgement.threshold for column in columns for judgement in column.judgements)
    rows = [
        Row(
            name,
            tuple(
                next((spoken(j) for j in c.judgements if j.threshold == name), figures.MISSING)
                for c in columns
            ),
        )
        for name in ids
    ]
    verdict = Row("verdict", tuple(f"{column.headline.symbol} {column.headline.text}" for column in columns))
    return Section("thresholds", (*rows, verdict))
