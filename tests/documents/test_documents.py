from __future__ import annotations

import pytest
from pydantic import Field

from macfleet.documents import Border, parse_yaml, validate
from macfleet.model.diagnostic import MacfleetError


class Wheel(Border):
    size: int
    colour: str = "black"


class Car(Border):
    name: str
    wheels: list[Wheel] = Field(default_factory=list)
    extras: dict[str, Wheel] = Field(default_factory=dict)
    spare: Wheel | None = None


def problems(text: str) -> list[tuple[str, str, str]]:
    with pytest.raises(MacfleetError) as caught:
        validate(parse_yaml(text.encode(), "car.yml"), Car, kind="car")
    return [(str(d.where), d.summary, d.mend) for d in caught.value.diagnostics]


def test_a_valid_document_becomes_its_model():
    car = validate(parse_yaml(b"name: a\nwheels: [{size: 1}]\n", "car.yml"), Car)
    assert car.wheels[0].size == 1


@pytest.mark.parametrize(
    ("text", "where", "summary", "mend"),
    [
        ("name: a\nwheles: []\n", "car.yml:2:1", 'unknown key "wheles" for car', 'did you mean "wheels"?'),
        (
            "name: a\nwheels:\n  - size: 1\n    color: x\n",
            "car.yml:4:5",
            'unknown key "color" for car',
            'did you mean "colour"?',
        ),
        (
            "name: a\nextras:\n  x: {sise: 1}\n",
            "car.yml:3:7",
            'unknown key "sise" for car',
            'did you mean "size"?',
        ),
        (
            "name: a\nspare: {size: 1, clour: b}\n",
            "car.yml:2:18",
            'unknown key "clour" for car',
            'did you mean "colour"?',
        ),
        ("wheels: []\n", "car.yml:1:1", 'key "name" is missing for car', "Add name:."),
    ],
)
def test_a_wrong_key_is_named_with_its_place_and_the_mend(text, where, summary, mend):
    assert (where, summary, mend) in problems(text)


def test_every_problem_of_a_file_is_reported_at_once():
    assert len(problems("nme: a\nwheels: [{size: big}]\n")) == 3


def test_a_wrong_type_points_at_the_value():
    (where, summary, _) = problems("name: a\nwheels: [{size: big}]\n")[0]
    assert where == "car.yml:2:17"
    assert '"size" for car' in summary


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        (b"a: [1\n", "E0101", 2),
        (b"a: 1\na: 2\n", "E0102", 2),
        (b"\xff\xfe\x00", "E0101", 1),
        (b"a: !!python/object x\n", "E0104", 1),
    ],
)
def test_text_that_is_not_plain_yaml_is_refused_with_its_line(text, code, line):
    with pytest.raises(MacfleetError) as caught:
        parse_yaml(text, "x.yml")
    assert caught.value.diagnostics[0].code == code
    assert caught.value.diagnostics[0].where.line == line


def test_words_that_only_look_like_booleans_or_dates_stay_text():
    assert parse_yaml(b"a: yes\nb: 2026-01-02\nc: true\nd: off\n", "x").value == {
        "a": "yes",
        "b": "2026-01-02",
        "c": True,
        "d": "off",
    }
