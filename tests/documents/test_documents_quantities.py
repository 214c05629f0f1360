"""Durations, sizes and shares that a user writes: what is read, what is refused, the same in every file."""

import math

import pytest
from pydantic import ValidationError

from macfleet.documents import Border, Seconds, Share, Size
from macfleet.resources import PLACES, params_of


class Wanted(Border):
    """One of each."""

    wait: Seconds = 0.0
    room: Size = 0
    part: Share = 0.0


@pytest.mark.parametrize(("text", "seconds"), [("800ms", 0.8), ("12h", 43200.0), (5, 5.0), ("0s", 0.0)])
def test_a_duration_is_seconds(text, seconds):
    assert Wanted(wait=text).wait == seconds


@pytest.mark.parametrize(("text", "size"), [("24GiB", 24 * 2**30), (5, 5), ("1kB", 1000)])
def test_a_size_is_bytes(text, size):
    assert Wanted(room=text).room == size


@pytest.mark.parametrize(("text", "share"), [("18%", 0.18), (0.5, 0.5), ("1.2", 1.2), (0, 0.0)])
def test_a_share_is_of_one(text, share):
    assert Wanted(part=text).part == pytest.approx(share)


ENDLESS = "9" * 400


@pytest.mark.parametrize("wrong", [[1], {"a": 1}, None, True, "5x", "", -3, math.nan, math.inf, 10**400])
def test_what_is_no_share_is_refused_with_one_that_is(wrong):
    with pytest.raises(ValidationError, match=r"such as 18%|is not a number with one of the units|too large"):
        Wanted(part=wrong)


@pytest.mark.parametrize("key", ["wait", "room", "part"])
def test_a_number_without_end_is_refused_and_not_repeated(key):
    with pytest.raises(ValidationError, match="9'… is too large") as refused:
        Wanted(**{key: ENDLESS})
    assert ENDLESS not in refused.value.errors()[0]["msg"]


@pytest.mark.parametrize("wrong", [[1], {"a": 1}, None, True, "5x", "", -3, math.nan, math.inf])
def test_what_is_no_duration_is_refused_with_one_that_is(wrong):
    with pytest.raises(ValidationError, match=r"such as 800ms|is not a number with one of the units"):
        Wanted(wait=wrong)


@pytest.mark.parametrize("wrong", [[1], {"a": 1}, None, True, "5x", "", 1.5])
def test_what_is_no_size_is_refused_with_one_that_is(wrong):
    with pytest.raises(ValidationError, match=r"such as 24GiB|is not a number with one of the units"):
        Wanted(room=wrong)


@pytest.mark.parametrize("kind", sorted(PLACES))
def test_no_key_of_a_resource_ends_in_anything_but_a_refusal_when_it_gets_a_list_of_lists(kind):
    model = params_of(kind)
    for name, field in model.model_fields.items():
        with pytest.raises(ValidationError):
            model.model_validate({field.alias or name: [[1]]})
