import pytest
from hypothesis import given
from hypothesis import strategies as st

from macfleet.model.quantity import parse_bytes, parse_seconds, parse_share, show_bytes, show_seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("12GiB", 12 * 2**30),
        ("12 GiB", 12 * 2**30),
        ("1.5MiB", 1572864),
        ("100GB", 10**11),
        ("7kB", 7000),
        ("7", 7),
        (7, 7),
    ],
)
def test_sizes_are_read_with_their_units(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30m", 1800),
        ("2s", 2),
        ("800ms", 0.8),
        ("1.5h", 5400),
        ("7d", 604800),
        ("5 min", 300),
        ("3", 3),
        (3, 3),
        (0.5, 0.5),
    ],
)
def test_durations_are_read_with_their_units(text, seconds):
    assert parse_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize(("text", "share"), [("18%", 0.18), ("0.5%", 0.005), (0.18, 0.18), ("0.2", 0.2)])
def test_shares_are_percentages_or_bare_numbers(text, share):
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("parse", [parse_bytes, parse_seconds, parse_share])
@pytest.mark.parametrize("text", ["", "GiB", "-1s", "1 2", "12Gib", "nan", "1e3", "٣", "3 parsecs", "1..2"])
def test_what_is_no_quantity_is_refused(parse, text):
    with pytest.raises(ValueError, match="is not a number"):
        parse(text)


@given(st.text(max_size=12))
def test_any_text_is_a_quantity_or_a_value_error(text):
    for parse in (parse_bytes, parse_seconds, parse_share):
        try:
            assert parse(text) >= 0
        except ValueError:
            continue


@given(st.integers(0, 1023), st.sampled_from(["B", "KiB", "MiB", "GiB"]))
def test_a_whole_size_is_shown_as_it_was_written(amount, unit):
    size = parse_bytes(f"{amount} {unit}")
    assert parse_bytes(show_bytes(size)) == size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.85, "850 ms"),
        (2.31, "2.3 s"),
        (12.3, "12 s"),
        (245, "4 min 05 s"),
        (11520, "3 h 12 min"),
        (3599.7, "1 h 00 min"),
        (59.7, "1 min 00 s"),
        (9.97, "10 s"),
        (0.9996, "1.0 s"),
    ],
)
def test_durations_are_shown_as_people_read_them(seconds, text):
    assert show_seconds(seconds) == text
