"""The lines of ``contract/thresholds.yml`` as a user writes them, by id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from macfleet.documents import Border, Seconds, Share


class FileBorder(Border):
    """The whole file."""

    thresholds: list[dict[str, object]] = Field(description="the lines, in the order they are shown")
    diagnosis: list[dict[str, object]] = Field(
        default=[], description="from where a diagnosis calls a sign a cause"
    )


class _ScopeBorder(Border):
    model: str = Field(default="*", description="pattern of model names")
    chip: str = Field(default="*", description="pattern of chips, such as m4*")


class SignBorder(Border):
    """What every line says, and all that a line of a diagnosis does."""

    scope: _ScopeBorder = _ScopeBorder()
    reason: str = Field(default="", description="why this line")
    source: str = Field(description="where the numbers come from")


class LineBorder(SignBorder):
    """What a line with a verdict says as well."""

    verdict: str = Field(description="what follows when the conditions are met")
    otherwise: str = Field(default="", description="what follows when they are not")


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


class _CpuLimitWhen(Border):
    throttled_above: Share = Field(description="share of the time a CPU limit may hold a container back")


class _SlowDiskWhen(Border):
    fsync_above: Seconds = Field(description="how long a synced write of one page may take in the VM")


class _PortsWhen(Border):
    time_wait_above: Share = Field(description="share of a Mac's ports that closed connections may hold")


class _MountsBorder(LineBorder):
    id: Literal["mounts-first"]
    when: _MountsWhen


class _OffloadBorder(LineBorder):
    id: Literal["offload-live"]
    when: _OffloadWhen


class ReproducibleBorder(LineBorder):
    """The line that looks at other lines and at people."""

    id: Literal["reproducible"]
    when: _ReproducibleWhen


class _AbsorberBorder(LineBorder):
    id: Literal["shock-absorber"]
    when: _AbsorberWhen


class _CpuLimitBorder(SignBorder):
    id: Literal["cpu-limit"]
    when: _CpuLimitWhen


class _SlowDiskBorder(SignBorder):
    id: Literal["slow-disk"]
    when: _SlowDiskWhen


class _PortsBorder(SignBorder):
    id: Literal["ports"]
    when: _PortsWhen


AnyBorder = (
    _MountsBorder
    | _OffloadBorder
    | ReproducibleBorder
    | _AbsorberBorder
    | _CpuLimitBorder
    | _SlowDiskBorder
    | _PortsBorder
)


class Section(NamedTuple):
    """A list of the file and the lines it may hold, by id."""

    name: str
    borders: Mapping[str, type[AnyBorder]]


SECTIONS = (
    Section(
        "thresholds",
        {
            "mounts-first": _MountsBorder,
            "offload-live": _OffloadBorder,
            "reproducible": ReproducibleBorder,
            "shock-absorber": _AbsorberBorder,
        },
    ),
    Section("diagnosis", {"cpu-limit": _CpuLimitBorder, "slow-disk": _SlowDiskBorder, "ports": _PortsBorder}),
)


def limits_of(line: AnyBorder) -> dict[str, float]:
    """Return a line's conditions by name: shares, factors, seconds and counts."""
    values = line.when.model_dump(exclude={"inside", "virtiofs_instead"})
    if isinstance(line, _MountsBorder):
        values |= line.when.virtiofs_instead.model_dump()
    return {name: float(value) for name, value in values.items()}
