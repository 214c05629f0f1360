"""The thresholds a team owns: ``contract/thresholds.yml`` at the border, values inside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from macfleet.analysis.threshold_borders import (
    SECTIONS,
    FileBorder,
    LineBorder,
    ReproducibleBorder,
    Section,
    limits_of,
)
from macfleet.documents import Document, nearest, parse_yaml, validate
from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError
from macfleet.model.ports import Files

FILE = "contract/thresholds.yml"
DEFAULT_SOURCE = "discussion-grade default"


@dataclass(frozen=True, slots=True)
class Threshold:
    """One line of the file.

    Attributes:
        id: ``mounts-first``, ``offload-live``, ``reproducible`` or ``shock-absorber``; of a diagnosis
            ``cpu-limit``, ``slow-disk`` or ``ports``.
        limits: the conditions by name; shares between 0 and 1, growth as a factor, seconds and counts as
            they are.
        verdict: what follows when the conditions are met, empty for a diagnosis; otherwise: when not met.
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

DIAGNOSIS = (
    Threshold("cpu-limit", {"throttled_above": 0.05}, ""),
    Threshold("slow-disk", {"fsync_above": 0.020}, ""),
    Threshold("ports", {"time_wait_above": 0.80}, ""),
)
"""From where `macfleet diagnose` calls a sign a cause, unless the file says otherwise."""


def load_thresholds(files: Files, path: str = FILE) -> tuple[Threshold, ...]:
    """Read the team's thresholds; the defaults where there is no file.

    Raises:
        MacfleetError: every problem of the file: E0101 to E0104, E1011 unknown id, E1012 the same line twice.
    """
    if not files.exists(path):
        return DEFAULTS
    return parse_thresholds(parse_yaml(files.read(path), path))


def load_diagnosis(files: Files, path: str = FILE) -> tuple[Threshold, ...]:
    """Read the team's lines of a diagnosis, after the defaults (raises as `load_thresholds`)."""
    if not files.exists(path):
        return DIAGNOSIS
    return parse_diagnosis(parse_yaml(files.read(path), path))


def parse_thresholds(document: Document) -> tuple[Threshold, ...]:
    """Return the thresholds of a parsed file, in its order (raises as `load_thresholds`)."""
    return _parse(document)[0]


def parse_diagnosis(document: Document) -> tuple[Threshold, ...]:
    """Return the lines of a diagnosis: the defaults, then the file's (raises as `load_thresholds`)."""
    return (*DIAGNOSIS, *_parse(document)[1])


def _parse(document: Document) -> tuple[tuple[Threshold, ...], tuple[Threshold, ...]]:
    """Read both sections whichever is asked for, so that every problem of the file is told at once."""
    file = validate(document, FileBorder, kind="thresholds file")
    problems: list[Diagnostic] = []
    found = [
        _section(document, section, rows, problems)
        for section, rows in zip(SECTIONS, (file.thresholds, file.diagnosis), strict=True)
    ]
    if problems:
        raise MacfleetError(problems)
    return found[0], found[1]


def _section(
    document: Document,
    section: Section,
    rows: Iterable[Mapping[str, object]],
    problems: list[Diagnostic],
) -> tuple[Threshold, ...]:
    found: list[Threshold] = []
    for index, row in enumerate(rows):
        try:
            threshold = _read(document, section, index, row)
            _refuse_twice(document, section, index, threshold, found)
        except MacfleetError as error:
            problems.extend(error.diagnostics)
        else:
            found.append(threshold)
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


def _read(document: Document, section: Section, index: int, row: Mapping[str, object]) -> Threshold:
    name = str(row.get("id", ""))
    border = section.borders.get(name)
    if border is None:
        guess = nearest(name, section.borders)
        known = ", ".join(sorted(section.borders))
        mend = f'did you mean "{guess}"?' if guess else f"Known ids: {known}."
        summary = f'no threshold has the id "{name}"' if name else "a threshold without an id"
        raise MacfleetError(
            document.diagnose("E1011", summary, section.name, index, "id", mend=mend, on_value=True)
        )
    line = validate(document, border, section.name, index, kind=f"threshold {name}")
    return Threshold(
        id=name,
        limits=limits_of(line),
        verdict=line.verdict if isinstance(line, LineBorder) else "",
        reason=line.reason,
        source=line.source,
        otherwise=line.otherwise if isinstance(line, LineBorder) else "",
        inside=line.when.inside if isinstance(line, ReproducibleBorder) else (),
        model=line.scope.model,
        chip=line.scope.chip,
        where=document.at(section.name, index, "id"),
    )


def _refuse_twice(
    document: Document, section: Section, index: int, threshold: Threshold, before: Iterable[Threshold]
) -> None:
    for other in before:
        if (other.id, other.model, other.chip) == (threshold.id, threshold.model, threshold.chip):
            raise MacfleetError(
                document.diagnose(
                    "E1012",
                    f"threshold {threshold.id} stands twice for the same model and chip",
                    section.name,
                    index,
                    "id",
                    why=f"The other one stands at {other.where}.",
                    mend="Keep one, or narrow the scope of one of them.",
                )
            )
