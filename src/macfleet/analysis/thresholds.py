"""The thresholds a team owns: ``contract/thresholds.yml`` at the border, values inside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import Field

from macfleet.documents import Border, Document, Share, nearest, parse_yaml, validate
from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError
from macfleet.model.ports import Files

FILE = "contract/thresholds.yml"
DEFAULT_SOURCE = "discussion-grade default"


@dataclass(frozen=True, slots=True)
class Threshold:
    """One line of the file.

    Attributes:
        id: ``mounts-first``, ``offload-live``, ``reproducible`` or ``shock-absorber``.
        limits: the conditions by name; shares between 0 and 1, growth as a factor, counts as they are.
        verdict: what follows when the conditions are met; otherwise: when they are not.
        inside: ids of thresholds that must not have tripped.
        model, chip: shell patterns of what the line speaks about.
    """

    id: str
    limits: Mapping[str, float]
    verdict: str
    reason: str = ""
    source: str = DEFAULT_SOURCE
    otherwise: str = ""
    inside: tuple[str, ...] = ()
    model: str = "*"
    chip: str = "*"
    where: Location | None = field(default=None, compare=False)

    @property
    def discussion_grade(self) -> bool:
        """Whether nobody has replaced the default by a measurement of their own."""
        return self.source.strip().lower().startswith(DEFAULT_SOURCE)

    def speaks_about(self, model: str, chip: str) -> bool:
        """Whether the scope covers a model on a chip."""
        return fnmatchcase(model, self.model) and fnmatchcase(chip, self.chip)


DEFAULTS = (
    Threshold(
        "mounts-first",
        {
            "tokens_per_second_drop": 0.18,
            "iowait_above": 0.12,
            "psi_io_some_above": 0.20,
            "storage_drop": 0.30,
        },
        "fix mounts and cache paths before scaling the model",
    ),
    Threshold(
        "offload-live",
        {"p95_growth_above": 2.2, "memory_above": 0.78},
        "shared live traffic goes to a dedicated remote node; the laptop stays a sampling machine",
    ),
    Threshold(
        "reproducible",
        {"colleagues": 2, "within_business_days": 5},
        "keep the container path",
        otherwise="run the same image on a remote node and ship thin clients",
        inside=("mounts-first", "offload-live"),
    ),
    Threshold(
        "shock-absorber",
        {"absorber": 0.25, "limit": 0.78},
        "this is no longer a laptop's role: remote node",
    ),
)
"""What is judged where a fleet folder has no file of its own."""


def load_thresholds(files: Files, path: str = FILE) -> tuple[Threshold, ...]:
    """Read the team's thresholds; the defaults where there is no file.

    Raises:
        MacfleetError: every problem of the file: E0101 to E0104, E1011 unknown id, E1012 the same line twice.
    """
    if not files.exists(path):
        return DEFAULTS
    return parse_thresholds(parse_yaml(files.read(path), path))


def parse_thresholds(document: Document) -> tuple[Threshold, ...]:
    """Return the thresholds of a parsed file, in its order (raises as `load_thresholds`)."""
    rows = validate(document, _FileBorder, kind="thresholds file").thresholds
    found: list[Threshold] = []
    problems: list[Diagnostic] = []
    for index, row in enumerate(rows):
        try:
            threshold = _read(document, index, row)
            _refuse_twice(document, index, threshold, found)
        except MacfleetError as error:
            problems.extend(error.diagnostics)
        else:
            found.append(threshold)
    if problems:
        raise MacfleetError(problems)
    return tuple(found)


def in_scope(thresholds: Iterable[Threshold], model: str, chip: str) -> tuple[Threshold, ...]:
    """Return one threshold an id for a model on a chip: the one with the narrowest scope."""
    chosen: dict[str, Threshold] = {}
    for threshold in thresholds:
        if not threshold.speaks_about(model, chip):
            continue
        rival = chosen.get(threshold.id)
        if rival is None or _narrowness(threshold) >= _narrowness(rival):
            chosen[threshold.id] = threshold
    return tuple(chosen.values())


def _narrowness(threshold: Threshold) -> int:
    return len(threshold.model.replace("*", "")) + len(threshold.chip.replace("*", ""))


class _FileBorder(Border):
    thresholds: list[dict[str, object]] = Field(description="the lines, in the order they are shown")


class _ScopeBorder(Border):
    model: str = Field(default="*", description="pattern of model names")
    chip: str = Field(default="*", description="pattern of chips, such as m4*")


class _LineBorder(Border):
    scope: _ScopeBorder = _ScopeBorder()
    verdict: str = Field(description="what follows when the conditions are met")
    otherwise: str = Field(default="", description="what follows when they are not")
    reason: str = Field(default="", description="why this line")
    source: str = Field(description="where the numbers come from")


class _VirtiofsBorder(Border):
    psi_io_some_above: Share = Field(default=0.20, description="share of time some task waits for I/O")
    storage_drop: Share = Field(default=0.30, description="loss of the bind mount against native storage")


class _MountsWhen(Border):
    tokens_per_second_drop: Share
    iowait_above: Share
    virtiofs_instead: _VirtiofsBorder = _VirtiofsBorder()


class _OffloadWhen(Border):
    p95_growth_above: Annotated[float, Field(gt=1)]
    memory_above: Share


class _ReproducibleWhen(Border):
    colleagues: Annotated[int, Field(ge=1)]
    within_business_days: Annotated[int, Field(ge=1)]
    inside: tuple[str, ...] = ()


class _AbsorberWhen(Border):
    absorber: Annotated[Share, Field(ge=0.20, le=0.30)]
    limit: Share


class _MountsBorder(_LineBorder):
    id: Literal["mounts-first"]
    when: _MountsWhen


class _OffloadBorder(_LineBorder):
    id: Literal["offload-live"]
    when: _OffloadWhen


class _ReproducibleBorder(_LineBorder):
    id: Literal["reproducible"]
    when: _ReproducibleWhen


class _AbsorberBorder(_LineBorder):
    id: Literal["shock-absorber"]
    when: _AbsorberWhen


_AnyBorder = _MountsBorder | _OffloadBorder | _ReproducibleBorder | _AbsorberBorder
_BORDERS: Mapping[str, type[_AnyBorder]] = {
    "mounts-first": _MountsBorder,
    "offload-live": _OffloadBorder,
    "reproducible": _ReproducibleBorder,
    "shock-absorber": _AbsorberBorder,
}


def _read(document: Document, index: int, row: Mapping[str, object]) -> Threshold:
    name = str(row.get("id", ""))
    border = _BORDERS.get(name)
    if border is None:
        guess = nearest(name, _BORDERS)
        known = ", ".join(sorted(_BORDERS))
        mend = f'did you mean "{guess}"?' if guess else f"Known ids: {known}."
        summary = f'no threshold has the id "{name}"' if name else "a threshold without an id"
        raise MacfleetError(
            document.diagnose("E1011", summary, "thresholds", index, "id", mend=mend, on_value=True)
        )
    line: _AnyBorder = validate(document, border, "thresholds", index, kind=f"threshold {name}")
    return Threshold(
        id=line.id,
        limits=_limits(line),
        verdict=line.verdict,
        reason=line.reason,
        source=line.source,
        otherwise=line.otherwise,
        inside=line.when.inside if isinstance(line, _ReproducibleBorder) else (),
        model=line.scope.model,
        chip=line.scope.chip,
        where=document.at("thresholds", index, "id"),
    )


def _limits(line: _AnyBorder) -> dict[str, float]:
    values = line.when.model_dump(exclude={"inside", "virtiofs_instead"})
    if isinstance(line, _MountsBorder):
        values |= line.when.virtiofs_instead.model_dump()
    return {name: float(value) for name, value in values.items()}


def _refuse_twice(document: Document, index: int, threshold: Threshold, before: Iterable[Threshold]) -> None:
    for other in before:
        if (other.id, other.model, other.chip) == (threshold.id, threshold.model, threshold.chip):
            raise MacfleetError(
                document.diagnose(
                    "E1012",
                    f"threshold {threshold.id} stands twice for the same model and chip",
                    "thresholds",
                    index,
                    "id",
                    why=f"The other one stands at {other.where}.",
                    mend="Keep one, or narrow the scope of one of them.",
                )
            )
