"""Tables in terminals of any width."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macfleet.views.table import lines

HEADS = ("NODE", "POOL", "MEMORY", "ADDRESS")
ROWS = [("mac-01", "chat", "24 GiB", "ops@203.0.113.11:22"), ("mac-02", "–", "8 GiB", "ops@[2001:db8::1]:22")]


def test_a_table_that_fits_has_a_line_a_row_with_columns_aligned():
    assert list(lines(HEADS, ROWS, 80, right=(2,))) == [
        "NODE     POOL   MEMORY   ADDRESS",
        "mac-01   chat   24 GiB   ops@203.0.113.11:22",
        "mac-02   –       8 GiB   ops@[2001:db8::1]:22",
    ]


def test_a_table_that_does_not_fit_has_a_paragraph_a_row():
    assert list(lines(HEADS, ROWS, 30)) == [
        "mac-01",
        "  pool chat · memory 24 GiB",
        "  address ops@203.0.113.11:22",
        "mac-02",
        "  memory 8 GiB",
        "  address ops@[2001:db8::1]:22",
    ]


def test_a_pipe_folds_nothing():
    assert len(list(lines(HEADS, ROWS, 0))) == 3
    assert list(lines(HEADS, [], 0)) == ["NODE   POOL   MEMORY   ADDRESS"]
    assert list(lines((), [], 80)) == []


@pytest.mark.parametrize("heads", [HEADS, ()])
@given(width=st.integers(20, 200))
def test_no_line_is_wider_than_the_terminal_and_nothing_is_lost(heads, width):
    shown = list(lines(heads, ROWS, width))
    assert max(map(len, shown)) <= max(width, 32)  # one cell is never cut
    assert all(any(cell in line for line in shown) for row in ROWS for cell in row if cell != "–")


def test_what_a_cell_says_cannot_steer_the_terminal():
    assert "\x1b" not in "".join(lines(("A",), [("\x1b[2J",)], 80))
