"""The rows of a comparison as text, once for terminal and Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from macfleet.analysis.conditions import change, factor
from macfleet.analysis.cost import NodeCost, Price
from macfleet.model.node import Arm
from macfleet.model.run import CellSummary
from macfleet.reports import figures, money
from macfleet.reports.comparison import Column, Comparison, Gap
from macfleet.reports.environment import short
from macfleet.reports.headline import spoken
from macfleet.reports.verdicts import NodeVerdict, node_verdicts


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
        verdicts: what to read first.
        head: one line of what is compared.
        environment: whether the image changed and what else differs; same: what does not.
        notices: what a reader must know before the figures.
        titles: one a column, with its group and the node's chip and memory.
        evidence: files the verdicts rest on.
    """

    verdicts: tuple[NodeVerdict, ...]
    head: str
    environment: tuple[str, ...]
    same: tuple[str, ...]
    notices: tuple[str, ...]
    titles: tuple[str, ...]
    sections: tuple[Section, ...]
    evidence: tuple[str, ...]


def lay_out(comparison: Comparison) -> Layout:
    """Return every text of a comparison in its place."""
    columns = comparison.columns
    names = sorted({(c.bucket, c.concurrency, c.cell) for column in columns for c in column.cells})
    return Layout(
        verdicts=node_verdicts(comparison),
        head=(
            f"Baseline {comparison.baseline} · contract {comparison.contract[:12]} · "
            f"requests {comparison.sent[:12]} identical · vantage {comparison.vantage}"
        ),
        environment=tuple(_environment(comparison)),
        same=tuple(f"{name} {short(value)}" for name, value in comparison.environment.same.items()),
        notices=comparison.notices,
        titles=tuple(_title(column) for column in columns),
        sections=(
            *(_cell_section(comparison, bucket, many, name) for bucket, many, name in names),
            *_cost_sections(columns),
            _verdict_section(columns),
        ),
        evidence=tuple(_evidence(comparison)),
    )


def _evidence(comparison: Comparison) -> Iterable[str]:
    """Files the verdicts rest on, with who signed their run."""
    judgements = [each for column in comparison.columns for each in column.judgements]
    for file in sorted({name.partition("#")[0] for each in judgements for name in each.evidence}):
        signed = comparison.signed.get(file.partition("/")[0])
        yield f"{file} · {signed}" if signed else file


def _environment(comparison: Comparison) -> Iterable[str]:
    environment = comparison.environment
    answer = {"identical": "no", "changed": "yes"}.get(environment.images, environment.images)
    yield f"image changed: {answer}"
    for difference in environment.differences:
        values = " / ".join(short(value) for value in difference.values.values())
        yield f"{difference.name} {values}"


def _title(column: Column) -> str:
    about = f"({column.about})" if column.about else ""
    group = "" if column.group in column.title.split() else column.group
    return " ".join(part for part in (group, column.title, about) if part)


def _cell_section(comparison: Comparison, bucket: str, concurrency: int, name: str) -> Section:
    columns = comparison.columns
    arms = sorted({cell.arm for column in columns for cell in column.cells if cell.cell == name})
    spoilt = [arm for arm in arms if _is_spoilt(columns, arm, name)]
    rows = [
        Row(
            f"{label} · {arm}",
            tuple(_figure(column, arm, name, show, first=label == _FIRST) for column in columns),
        )
        for label, show in _METRICS
        for arm in arms
        if label == _FIRST or arm not in spoilt
    ]
    rows += _gap_rows(columns, name)
    if concurrency == 4:
        rows += _growth_rows(columns, bucket)
    rows = [row for row in rows if _worth_showing(row)]
    if comparison.by == "arm":
        rows = _merged(rows)
    return Section(f"{bucket} × {concurrency}" if concurrency else name, tuple(rows))


_FIRST = "tokens/s"
_INVALID = "INVALID"
_METRICS: Sequence[tuple[str, Callable[[CellSummary], str]]] = (
    (_FIRST, lambda cell: figures.rate(cell.tokens_per_second)),
    ("p95", lambda cell: figures.seconds(cell.p95)),
    ("TTFT p50", lambda cell: figures.seconds(cell.ttft_p50)),
    ("n requests", lambda cell: figures.count(cell.n)),
    ("errors", lambda cell: figures.percent(cell.errors)),
    ("host memory", lambda cell: figures.share(cell.memory)),
    ("VM iowait", lambda cell: figures.share(cell.iowait)),
)


def _is_spoilt(columns: Sequence[Column], arm: str, name: str) -> bool:
    """Whether no column has a valid cell of the arm: one line says so instead of one a figure."""
    cells = [(column, c) for column in columns for c in column.cells if (c.arm, c.cell) == (arm, name)]
    return all(cell.invalid and not column.imported for column, cell in cells)


def _figure(column: Column, arm: str, name: str, show: Callable[[CellSummary], str], *, first: bool) -> str:
    """Return a cell's figure; an INVALID one of our own says so once, in its first row."""
    cell = next((each for each in column.cells if (each.arm, each.cell) == (arm, name)), None)
    if cell is None:
        return figures.MISSING
    if column.imported or not cell.invalid:
        return show(cell)
    return _INVALID if first else ""


def _worth_showing(row: Row) -> bool:
    """Errors are shown where there are any, series where they were sampled."""
    nothing = {figures.MISSING, "", *(["0 %"] if row.label.startswith("errors") else [])}
    return not set(row.texts) <= nothing


def _merged(rows: Sequence[Row]) -> list[Row]:
    """By arm each column has one arm only, so rows that differ in the arm are one row."""
    merged: dict[str, tuple[str, ...]] = {}
    for row in rows:
        label = row.label.partition(" · ")[0]
        before = merged.get(label, tuple(figures.MISSING for _ in row.texts))
        merged[label] = tuple(
            old if new == figures.MISSING else new for old, new in zip(before, row.texts, strict=True)
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


def _cost_sections(columns: Sequence[Column]) -> Iterable[Section]:
    """Cost per million output tokens, one section a bucket: at full and at the planned utilisation."""
    costs = [cost for column in columns for cost in column.costs]
    for bucket in dict.fromkeys(cost.bucket for cost in costs):
        rows = []
        for arm in dict.fromkeys(cost.arm for cost in costs if cost.bucket == bucket):
            found = [_cost(column, arm, bucket) for column in columns]
            planned = money.share(costs[0].utilisation)
            rows += [
                Row(f"at 100 % · {arm}", tuple(_cost_text(each, lambda c: c.full) for each in found)),
                Row(f"at {planned} · {arm}", tuple(_cost_text(each, lambda c: c.planned) for each in found)),
                Row(
                    f"at load · {arm}",
                    tuple(figures.MISSING if each is None else each.load for each in found),
                ),
            ]
        rows += [
            Row("offer, confidence", tuple(column.offer or figures.MISSING for column in columns)),
            Row("own or rent", tuple(column.break_even or figures.MISSING for column in columns)),
        ]
        shown = tuple(row for row in rows if _worth_showing(row))
        yield Section(f"cost per 1M output tokens · {bucket}", shown)


def _cost(column: Column, arm: str, bucket: str) -> NodeCost | None:
    return next((cost for cost in column.costs if (cost.arm, cost.bucket) == (arm, bucket)), None)


def _cost_text(cost: NodeCost | None, choose: Callable[[NodeCost], Price | None]) -> str:
    amount = None if cost is None else choose(cost)
    return figures.MISSING if amount is None else money.price(amount)


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
