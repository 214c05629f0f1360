"""Preferences keep their types on the way to a Mac and back."""

import pytest
from scratch_mac import ScratchMac

from macfleet.documents import Document, validate
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.node import Endpoint, Node
from macfleet.model.resource import Action
from macfleet.resources import Surroundings
from macfleet.resources.user_default import UserDefaultParams


@pytest.fixture
def mac(tmp_path):
    return ScratchMac(tmp_path / "mac")


def built(**params):
    said = {"domain": "com.example.app", "key": "k", **params}
    checked = validate(Document(said, "case"), UserDefaultParams, kind="user_default")
    return checked.build(Surroundings(Node("mac-01", Endpoint("mac-01.example"))))


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"value": True}, "boolean"),
        ({"value": False}, "boolean"),
        ({"value": 0}, "integer"),
        ({"value": -3}, "integer"),
        ({"value": 2**63 - 1}, "integer"),
        ({"value": 0.1}, "float"),
        ({"value": 2, "type": "float"}, "float"),
        ({"value": ""}, "string"),
        ({"value": "-int $(x) 'y' <z>"}, "string"),
        ({"value": "zwei\nZeilen ü"}, "string"),
        ({"value": []}, "array"),
        ({"value": [1, "1", 1.0, True, ["<&>"], {}]}, "array"),
        ({"value": {}}, "dictionary"),
        ({"value": {"a b": {"c": [" x "]}}}, "dictionary"),
    ],
)
def test_a_value_keeps_its_type(said, kind, mac):
    preference = built(**said)
    mac.carry_out(preference, mac.planned(preference))
    assert mac.planned(preference).action is Action.NOOP
    assert mac.run("defaults read-type com.example.app k").stdout == f"Type is {kind}\n"


def test_this_mac_alone_and_all_macs_are_apart(mac):
    everywhere, here = built(value=1), built(value=2, host="current")
    mac.carry_out(everywhere, mac.planned(everywhere))
    assert mac.planned(here).action is Action.CREATE
    mac.carry_out(here, mac.planned(here))
    assert {mac.planned(each).action for each in (everywhere, here)} == {Action.NOOP}
    assert everywhere.address != here.address


def test_one_and_true_differ(mac):
    one, true = built(value=1), built(value=True)
    mac.carry_out(one, mac.planned(one))
    assert [each.field for each in mac.planned(true).fields] == ["type", "value"]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({}, "value: is missing"),
        ({"value": [None]}, "cannot hold None"),
        ({"value": float("inf")}, "cannot hold inf"),
        ({"value": {"a": 2**63}}, "more than 64 bits"),
        ({"value": "a\rb"}, "a property list cannot carry"),
        ({"value": [{"\x01": 1}]}, "a property list cannot carry"),
        ({"value": "1", "type": "int"}, "the value is string, not int"),
        ({"value": True, "type": "int"}, "the value is bool, not int"),
        ({"value": 1, "domain": "a b"}, "not a domain"),
        ({"value": 1, "domain": "-g"}, "not a domain"),
        ({"value": 1, "key": "-x"}, "not a key"),
        ({"value": 1, "become": True}, "/Library/Preferences/com.example.app"),
        ({"value": 1, "kind": "int"}, 'unknown key "kind"'),
    ],
)
def test_what_defaults_would_take_for_something_else_is_refused(said, words):
    with pytest.raises(MacfleetError, match=words):
        built(**said)
