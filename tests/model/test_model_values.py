import copy
import dataclasses
import json
import pickle
import subprocess
import traceback
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError, NodeUnreachable
from macfleet.model.exit_codes import PRECEDENCE, ExitCode, strongest
from macfleet.model.load import EndpointReport, RouteCheck
from macfleet.model.resource import Action, Change, FieldChange, Plan, compare
from macfleet.model.secret import Secret
from macfleet.model.shell import quote, words
from macfleet.model.stage import EvidenceKey


@pytest.mark.parametrize(
    ("codes", "wins"),
    [
        ([], 0),
        ([0, 0], 0),
        ([0, 3], 3),
        ([8, 3], 3),
        ([3, 7], 7),
        ([7, 5], 5),
        ([5, 4], 4),
        ([4, 6], 6),
        ([6, 2], 2),
        ([2, 1], 1),
        ([1, 130], 130),
        ([0, 3, 4, 5, 6, 7, 8], 6),
    ],
)
def test_the_strongest_of_several_exit_codes_wins(codes, wins):
    assert strongest(ExitCode(code) for code in codes) == wins


def test_every_exit_code_but_done_has_its_place_in_the_order():
    assert set(PRECEDENCE) == set(ExitCode) - {ExitCode.DONE}
    assert [int(code) for code in PRECEDENCE] == [130, 1, 2, 6, 4, 5, 7, 3, 8]


def test_an_error_carries_every_finding_and_the_strongest_code():
    held = Diagnostic("E1", "held", node="mac-01", exit_code=ExitCode.HELD)
    wrong = Diagnostic("E2", "wrong", where=Location("a.yml", 3, 7))
    error = MacfleetError(finding for finding in (held, wrong))
    assert error.diagnostics == (held, wrong)
    assert error.exit_code is ExitCode.USAGE
    assert str(error) == "mac-01: held\na.yml:3:7: wrong"
    assert NodeUnreachable(held).diagnostics == (held,)


# --- shell words ----------------------------------------------------------------------------------------

SAFE = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=25)
@given(st.lists(SAFE, max_size=8))
def test_any_values_reach_the_shell_as_the_same_words(values):
    script = f"printf '%s\\0' start {words(values)}"
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=True, timeout=20)
    assert done.stdout.decode().split("\0")[1:-1] == values


@pytest.mark.parametrize(("value", "word"), [("", "''"), (8080, "8080"), (0.5, "0.5"), ("a b", "'a b'")])
def test_a_value_is_always_one_word(value, word):
    assert quote(value) == word


def test_a_nul_byte_is_refused_and_not_cut():
    with pytest.raises(ValueError, match="NUL"):
        quote("a\0; rm -rf /")


def test_a_secret_does_not_show_itself():
    secret = Secret("hunter2")
    for shown in (str(secret), repr(secret), f"{secret}", repr([secret]), "%s" % secret):  # noqa: UP031
        assert "hunter2" not in shown
    assert secret.reveal() == "hunter2"


@dataclass(frozen=True, slots=True)
class Login:
    user: str
    password: Secret


def traced(login):
    return "".join(traceback.format_exception(ValueError(login)))


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param(lambda login: f"{login.password:>20}{login.password!r}{login!s}", id="a format"),
        pytest.param(lambda login: repr(dataclasses.asdict(login)), id="a dataclass as a mapping"),
        pytest.param(lambda login: repr(dataclasses.astuple(login)), id="a dataclass as a tuple"),
        pytest.param(lambda login: json.dumps(dataclasses.asdict(login), default=str), id="JSON"),
        pytest.param(lambda login: repr(copy.deepcopy(login)), id="a copy"),
        pytest.param(traced, id="a traceback"),
    ],
)
def test_a_secret_inside_of_something_does_not_show_itself_either(shown):
    text = shown(Login("ana", Secret("hunter2")))
    assert ("hunter2" in text, "***" in text) == (False, True)


def test_a_secret_is_neither_pickled_nor_encoded_nor_changed():
    secret = Secret("hunter2")
    for encode in (pickle.dumps, json.dumps):
        with pytest.raises(TypeError) as refused:
            encode(secret)
        assert "hunter2" not in str(refused.value)
    with pytest.raises(AttributeError):
        secret._text = "other"
    assert (secret == Secret("hunter2"), secret == Secret("hunter3"), len({secret, copy.copy(secret)})) == (
        True,
        False,
        1,
    )


# --- plans ----------------------------------------------------------------------------------------------

values = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5))
states = st.dictionaries(st.sampled_from("abcd"), values, min_size=1)


@given(states, st.dictionaries(st.sampled_from("wxyz"), values))
def test_a_state_that_has_every_desired_field_needs_no_change(desired, others):
    assert compare("x.y", desired, {**others, **desired}).action is Action.NOOP


@given(states, states)
def test_a_change_names_exactly_the_fields_that_differ(desired, actual):
    change = compare("x.y", desired, actual)
    assert [f.field for f in change.fields] == sorted(k for k in desired if actual.get(k) != desired[k])
    assert (change.action is Action.NOOP) == (not change.fields)


@given(states)
def test_what_is_absent_is_created_with_every_field(desired):
    change = compare("x.y", desired, None)
    assert change.action is Action.CREATE
    assert {f.field: f.after for f in change.fields} == desired


def test_equal_plans_have_equal_digests_and_any_difference_shows():
    change = Change("file.a", Action.UPDATE, (FieldChange("mode", "0600", "0644"),))
    plan = Plan("mac-01", (change,), compiled="c1")
    same = Plan("mac-01", (change, Change("file.b", Action.NOOP)), (("file.a",),), compiled="c1")
    assert plan.digest == same.digest
    others = (
        Plan("mac-02", (change,), compiled="c1"),
        Plan("mac-01", (change,), compiled="c2"),
        Plan("mac-01", (), compiled="c1"),
        Plan("mac-01", (Change("file.a", Action.UPDATE, (FieldChange("mode", "0600", "0640"),)),), (), "c1"),
        Plan("mac-01", (Change("file.a", Action.REPLACE, change.fields),), (), "c1"),
    )
    assert plan.digest not in {other.digest for other in others}


parts = st.dictionaries(st.sampled_from(["node", "stage", "macos", "images"]), st.text(max_size=4))


@given(parts, parts)
def test_evidence_keys_are_compared_on_the_parts_both_have(older, newer):
    found = EvidenceKey(older).differs_from(EvidenceKey(newer))
    assert found == tuple(sorted(k for k in older.keys() & newer.keys() if older[k] != newer[k]))


@given(parts)
def test_an_evidence_key_does_not_depend_on_the_order_of_its_parts(found):
    assert EvidenceKey(found).digest == EvidenceKey(dict(reversed(found.items()))).digest


def test_an_endpoint_keeps_its_promise_only_when_every_route_does():
    good, bad = RouteCheck("/a", False, 200), RouteCheck("/b", True, 200, ("no usage",))
    assert EndpointReport("bare", "u", (good,)).keeps_promise
    assert not EndpointReport("bare", "u", (good, bad)).keeps_promise
    assert not EndpointReport("bare", "u", ()).keeps_promise
    assert EndpointReport("bare", "u", (bad,)).document()["routes"][0]["problems"] == ["no usage"]


def test_diagnostics_travel_between_processes():
    finding = Diagnostic("E1", "wrong", where=Location("a.yml", 3, 7))
    assert pickle.loads(pickle.dumps(finding)) == finding  # noqa: S301 (our own bytes)
