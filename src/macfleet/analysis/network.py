"""Which container network mode a proof speaks for: pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from macfleet.model.json import Json


def path_summary(latencies: Sequence[float], errors: int, time_wait: int | None) -> dict[str, Json]:
    """Reduce latencies in milliseconds to n, p50 and p95 (nearest rank) beside errors and TIME_WAIT."""
    ms = sorted(latencies)
    return {
        "n": len(ms),
        "p50_ms": round(_rank(ms, 0.50), 3) if ms else None,
        "p95_ms": round(_rank(ms, 0.95), 3) if ms else None,
        "errors": errors,
        "time_wait": time_wait,
    }


def choose_mode(paths: Mapping[str, Json], *, current: str, margin: float) -> tuple[str, str]:
    """Return the mode and why, judged at the node's loopback, where live traffic enters.

    Bridge stays unless host mode's p95 is better by more than `margin` (a share) on kept and on new
    connections alike. Once host is chosen it stays until bridge is no worse than half the margin, so that
    two close modes do not take turns.
    """
    ratios = []
    for connection in ("keep-alive", "fresh"):
        bridge = _p95(paths, "bridge", connection)
        host = _p95(paths, "host", connection)
        if bridge is None or host is None:
            return "bridge", f"{connection} was not measured in both modes"
        ratios.append(host / bridge if bridge else 1.0)
    worst = max(ratios)
    line = 1 - (margin / 2 if current == "host" else margin)
    shown = f"host p95 is {ratios[0]:.2f} (kept) and {ratios[1]:.2f} (new connections) of bridge's"
    if worst < line:
        return "host", f"{shown}, under {line:.2f}"
    return "bridge", f"{shown}, not under {line:.2f}"


def _p95(paths: Mapping[str, Json], mode: str, connection: str) -> float | None:
    path = paths.get(f"{mode}/node-loopback/{connection}")
    value = path.get("p95_ms") if isinstance(path, Mapping) else None
    return float(value) if isinstance(value, int | float) else None


def _rank(ordered: Sequence[float], share: float) -> float:
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
