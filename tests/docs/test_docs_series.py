"""The page of the series' columns names every one of them and no other."""

import re
from pathlib import Path

from macfleet.analysis.frames import SERIES_COLUMNS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "series.md"


def test_every_column_of_a_series_is_explained():
    rows = [
        line.split("|")[1] for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")
    ]
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(named) == sorted(SERIES_COLUMNS)
