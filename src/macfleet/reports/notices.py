"""What a reader of a comparison must know before its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from macfleet.model.run import RunManifest
from macfleet.reports.comparison import NOT_A_MAC, Column


def notices(manifests: Sequence[RunManifest], columns: Sequence[Column]) -> tuple[str, ...]:
    """Return what a reader must know before the figures, a sentence each."""
    found = []
    if any(manifest.simulated for manifest in manifests):
        found.append(NOT_A_MAC)
    found += [
        f"{manifest.id} was imported from {manifest.client_version}: shown beside ours, never judged"
        for manifest in manifests
        if manifest.kind == "imported"
    ]
    found += [
        f"{manifest.id} was measured ad hoc, with prompts of its own: shown beside others, never judged"
        for manifest in manifests
        if manifest.kind == "ad-hoc"
    ]
    contracted = [manifest for manifest in manifests if manifest.contract]
    if len({manifest.contract for manifest in contracted}) > 1:
        shown = ", ".join(f"{manifest.id} {manifest.contract[:12]}…" for manifest in contracted)
        found.append(f"contract hashes differ although the requests are the same: {shown}")
    if len({manifest.vantage for manifest in manifests}) > 1:
        shown = ", ".join(f"{manifest.id} {manifest.vantage}" for manifest in manifests)
        found.append(f"measured from different vantages, times are not comparable: {shown}")
    clients = {manifest.client_archive or manifest.client_version for manifest in manifests}
    if len(clients) > 1:
        found.append("the load client changed between these runs")
    found += _durations(columns)
    found += [text for manifest in manifests if (text := resumed_text(manifest))]
    short = sorted({column.run for column in columns if column.short})
    if short:
        found.append(f"short, under 30 minutes an arm and cell, cannot be signed: {', '.join(short)}")
    if any(manifest.git_dirty for manifest in manifests):
        found.append("uncommitted changes in the fleet folder: such a run cannot be signed")
    return tuple(found)


def resumed_text(manifest: RunManifest) -> str:
    """Say in words what a run took over from those that broke off before it; empty when it took nothing."""
    return "; ".join([*_gone_on_with(manifest), *_adopted(manifest)])


def _gone_on_with(manifest: RunManifest) -> list[str]:
    found = manifest.profile.get("resumed")
    if not isinstance(found, Mapping):
        return []
    runs, cut = found.get("runs"), found.get("cut")
    names = ", ".join(str(run) for run in runs) if isinstance(runs, Sequence) else ""
    parts = [f"{manifest.id} went on with {names}: {found.get('reused')} finished segments used"]
    if isinstance(cut, Sequence) and cut:
        parts.append(f"{len(cut)} cut, kept, not judged, measured again")
    if isinstance(unlike := found.get("unlike"), Sequence) and unlike:
        parts.append(f"not used where something changed: {', '.join(map(str, unlike))}")
    return parts


def _adopted(manifest: RunManifest) -> list[str]:
    found = manifest.profile.get("adopted")
    if not isinstance(found, Mapping) or not found:
        return []
    runs = ", ".join(sorted({str(run) for run in found.values()}))
    return [f"{', '.join(sorted(found))} in {manifest.id} as {runs} measured it before it broke off"]


def _durations(columns: Sequence[Column]) -> list[str]:
    """Cells of one name measured for lengths more than a tenth apart."""
    found = []
    for name in sorted({cell.cell for column in columns for cell in column.cells}):
        lengths = [cell.minutes for column in columns for cell in column.cells if cell.cell == name]
        if min(lengths) < 0.9 * max(lengths):
            found.append(f"{name}: measured for {min(lengths):.1f} to {max(lengths):.1f} minutes, not alike")
    return found
