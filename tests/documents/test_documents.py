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
    assert summary == '"size" for car: must be a whole number, not text'


class Trip(Border):
    when: bool | str | tuple[str, ...] = ()
    stops: tuple[str, ...] = ()
    car: Wheel | None = None
    fast: bool = False


@pytest.mark.parametrize(
    ("text", "where", "summary"),
    [
        ("when: 3", "trip.yml:1:7", '"when" for trip: must be true or false, text or a list, not a number'),
        ("when:", "trip.yml:1:6", '"when" for trip: must be true or false, text or a list, not empty'),
        ("when: [a, true]", "trip.yml:1:11", '"when[1]" for trip: must be text, not true/false'),
        ("stops: x", "trip.yml:1:8", '"stops" for trip: must be a list, not text'),
        ("car: 7", "trip.yml:1:6", '"car" for trip: must be a mapping, not a number'),
        ("fast: maybe", "trip.yml:1:7", '"fast" for trip: must be true or false, not text'),
    ],
)
def test_a_wrong_type_is_said_once_with_all_that_may_stand_there(text, where, summary):
    with pytest.raises(MacfleetError) as caught:
        validate(parse_yaml(text.encode(), "trip.yml"), Trip, kind="trip")
    assert [(str(d.where), d.summary) for d in caught.value.diagnostics] == [(where, summary)]


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        (b"a: [1\n", "E0101", 2),
        (b"a: 1\na: 2\n", "E0102", 2),
        (b"\xff\xfea\x00", "E0101", 1),
        ("a: 1\nb: ü".encode("latin-1"), "E0101", 2),
        (b"a: 1\n\nb: \x07\n", "E0101", 3),
        (b"a: 1\nb: " + b"[" * 30_000 + b"]" * 30_000, "E0101", 2),
        (b"a: 1\n" + b"- " * 30_000, "E0101", 2),
        (b"a: 1\nb: &b [1, *b]\n", "E0104", 2),
        (b"a: 1\nb: &b\n  c: {d: *b}\n", "E0104", 2),
        (b"a: &a {b: 1}\nc:\n  <<: [*a, 5]\n", "E0104", 3),
        (b"a: &a {b: 1}\nc:\n  <<: *a\n  <<: *a\n", "E0102", 4),
        (b"a: !!python/object x\n", "E0104", 1),
        (b"a: 1\nb: !!set {x: }\n", "E0104", 2),
        (b"a: 1\nb: !mine [x]\n", "E0104", 2),
        (b"a: 1\nb: !!seq x\n", "E0104", 2),
        (b"a: 1\nb: !!int x\n", "E0104", 2),
        (b"a: 1\nb: !!binary aGk=\n", "E0104", 2),
        (b'a: 1\nb: "half \\ud83d"\n', "E0104", 2),
    ],
)
def test_text_that_is_not_plain_yaml_is_refused_with_its_line(text, code, line):
    with pytest.raises(MacfleetError) as caught:
        parse_yaml(text, "x.yml")
    assert caught.value.diagnostics[0].code == code
    assert caught.value.diagnostics[0].where.line == line


def test_a_character_that_json_escapes_as_a_pair_is_one():
    assert parse_yaml(b'a: "\\ud83d\\ude00 \\u00fc"\n', "x").value == {"a": "\U0001f600 ü"}


def test_words_that_only_look_like_booleans_or_dates_stay_text():
    assert parse_yaml(b"a: yes\nb: 2026-01-02\nc: true\nd: off\n", "x").value == {
        "a": "yes",
        "b": "2026-01-02",
        "c": True,
        "d": "off",
    }


def test_aliases_of_aliases_are_refused_before_they_fill_the_memory():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 20)]
    with pytest.raises(MacfleetError) as caught:
        parse_yaml("\n".join(lines).encode(), "x.yml")
    assert [each.summary for each in caught.value.diagnostics] == ["aliases repeat more than 250,000 values"]


def test_aliases_inside_one_another_are_refused_before_the_stack_ends():
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 400))]
    with pytest.raises(MacfleetError) as caught:
        parse_yaml("\n".join(lines).encode(), "x.yml")
    assert {each.summary for each in caught.value.diagnostics} == {"aliases make more than 200 levels"}


def test_a_merge_key_brings_in_what_the_mapping_does_not_say_itself():
    text = """\
mini: &mini {chip: m4, memory: 24GiB}
site: &site {site: par, chip: unknown}
big: &big
  <<: [*mini, *site]
  memory: 64GiB
bigger: {<<: *big, cores: 14}
quoted: {"<<": 1}
"""
    found = parse_yaml(text.encode(), "x.yml")
    assert found.value["big"] == {"chip": "m4", "memory": "64GiB", "site": "par"}
    assert found.value["bigger"] == {**found.value["big"], "cores": 14}
    assert found.value["quoted"] == {"<<": 1}
    assert [str(found.at("bigger", key)) for key in ("chip", "memory", "cores")] == [
        "x.yml:1:14",
        "x.yml:5:3",
        "x.yml:6:20",
    ]


def test_an_unclosed_bracket_under_many_others_is_still_placed():
    with pytest.raises(MacfleetError) as caught:
        parse_yaml(b"a: 1\nb: [" + b"[]," * 300, "x.yml")
    assert caught.value.diagnostics[0].where.line == 2


def test_an_encrypted_value_says_where_secrets_are_named():
    ((_, summary, mend),) = problems("name: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6161\n")
    assert summary == "the tag !vault is not read here"
    assert "vault:PATH" in mend
