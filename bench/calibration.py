"""Print how often our own rules are wrong, and keep the tables in docs/benchmarks.md."""

import time
from collections.abc import Callable

from bench.sections import keep
from macfleet.analysis.calibration import (
    TRIALS,
    Coverage,
    Rates,
    calibrate_drop,
    calibrate_family,
    calibrate_growth,
    calibrate_intervals,
    simulation_error,
)


def main() -> None:
    """Simulate, print, and replace the section of the page."""
    began = time.monotonic()
    error = 100 * simulation_error(0.05, TRIALS)
    text = "\n".join(
        [
            (
                f"{TRIALS} simulated comparisons a row, seeded. A rate of 5 % is known to "
                f"±{error:.1f} percentage points."
            ),
            "",
            "`mounts-first`, tokens/s of four pairs of segments against the line of −18 %:",
            "",
            *_rates("true drop", calibrate_drop(), lambda truth: f"{100 * truth:.0f} %"),
            "",
            "The same over two judged cells, one of which is enough to trip (Holm's rule holds the rate):",
            "",
            *_rates("true drop", calibrate_family(), lambda truth: f"{100 * truth:.0f} %"),
            "",
            "`offload-live`, p95 of 200 against 500 requests, the line at 2.2×:",
            "",
            *_rates("true growth", calibrate_growth(), lambda truth: f"{truth:g}×"),
            "",
            "Intervals:",
            "",
            *_coverage(calibrate_intervals()),
        ]
    )
    print(text)
    keep("calibration", text)
    print(f"\n{time.monotonic() - began:.0f} s; kept in docs/benchmarks.md")


def _rates(name: str, found: tuple[Rates, ...], show: Callable[[float], str]) -> list[str]:
    head = f"| {name} | sd | tripped | cleared | inconclusive | point estimate beyond the line |"
    return [
        head,
        "|---|---|---|---|---|---|",
        *(
            f"| {show(each.truth)} | {100 * each.spread:.0f} % | {100 * each.tripped:.1f} % "
            f"| {100 * each.cleared:.1f} % | {100 * each.open:.1f} % | {100 * each.naive:.1f} % |"
            for each in found
        ),
    ]


def _coverage(found: tuple[Coverage, ...]) -> list[str]:
    rows = (f"| {each.what} | {100 * each.nominal:.0f} % | {100 * each.found:.1f} % |" for each in found)
    return ["| estimate | promised | held the truth |", "|---|---|---|", *rows]


if __name__ == "__main__":
    main()
