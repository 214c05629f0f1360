"""Freezing: what may change silently is nothing."""

import pytest

from macfleet.contract.load import load_folder
from macfleet.contract.lock import check, diff, freeze, lock_of, parse_lock, render_lock
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.exit_codes import ExitCode


@pytest.fixture
def frozen(draft):
    return parse_lock(freeze(load_folder(draft.files()), None).encode(), "contract/contract.lock")


def current(draft):
    return load_folder(draft.files())


def test_a_lock_reads_back_as_what_was_frozen(draft, frozen):
    assert frozen == lock_of(current(draft))
    assert parse_lock(render_lock(frozen).encode(), "x") == frozen
    assert check(current(draft), frozen) == ()


def test_freezing_again_changes_nothing(draft, frozen):
    assert freeze(current(draft), frozen) == render_lock(frozen)


def test_without_a_lock_check_says_how_to_make_one(draft):
    (found,) = check(current(draft), None)
    assert (found.code, found.mend) == ("E0713", "macfleet contract freeze")


EDITS = [
    (
        "prompt",
        lambda d: d.first["body"]["messages"][0].update(content="Say a!"),
        "a.json was edited",
        "a.json",
    ),
    ("one byte of layout", lambda d: d.texts.update(_spaced(d)), "a.json was edited", "a.json"),
    ("removed", lambda d: d.fixtures.pop("fixtures/short/b.json"), "b.json was removed", "contract.yml"),
    (
        "slo",
        lambda d: d.bucket["slo"].update(e2e_p95="12s"),
        "buckets.short.slo.e2e_p95: 9s → 12s",
        "contract.yml",
    ),
    ("slo gone", lambda d: d.bucket["slo"].pop("errors"), "errors was removed (was 0.5%)", "contract.yml"),
    (
        "route",
        lambda d: d.promise["routes"][0].update(usage=False),
        "routes[0].usage: true → false",
        "contract.yml",
    ),
    (
        "streams",
        lambda d: d.promise.update(concurrency=[1, 8]),
        "concurrency: [1, 4] → [1, 8]",
        "contract.yml",
    ),
    ("slots", lambda d: d.promise.update(engine_slots=8), "engine_slots: 4 → 8", "contract.yml"),
]


def _spaced(draft):
    path = "contract/fixtures/short/a.json"
    return {path: draft.files().read(path) + b" "}


@pytest.mark.parametrize(("edit", "words", "file"), [row[1:] for row in EDITS], ids=[row[0] for row in EDITS])
def test_an_edit_without_a_new_version_is_refused(edit, words, file, draft, frozen):
    edit(draft)
    (found,) = check(current(draft), frozen)
    assert found.code == "E0716"
    assert words in found.summary
    assert found.where.file.endswith(file)
    assert "version: 2" in found.mend

    with pytest.raises(MacfleetError) as caught:
        freeze(current(draft), frozen)
    (refused,) = caught.value.diagnostics
    assert (refused.code, refused.exit_code) == ("E0712", ExitCode.USAGE)
    assert words in refused.why
    assert str(refused.where).startswith("contract/contract.yml:2:")
    assert "version: 2" in refused.mend


def test_a_raised_version_must_be_frozen_and_then_holds(draft, frozen):
    draft.bucket["slo"]["e2e_p95"] = "12s"
    draft.promise["version"] = 2
    (stale,) = check(current(draft), frozen)
    assert (stale.code, stale.mend) == ("E0715", "macfleet contract freeze")
    fresh = parse_lock(freeze(current(draft), frozen).encode(), "x")
    assert (fresh.version, check(current(draft), fresh)) == (2, ())
    assert fresh.hash != frozen.hash


def test_a_version_never_goes_back(draft, frozen):
    draft.promise["version"] = 3
    newer = lock_of(current(draft))
    draft.promise["version"] = 2
    with pytest.raises(MacfleetError):
        freeze(current(draft), newer)
    (found,) = check(current(draft), newer)
    assert "below the frozen 3" in found.summary


def test_another_name_is_another_contract(draft, frozen):
    draft.promise["contract"] = "chat-large"
    assert "chat-large" in freeze(current(draft), frozen)


def test_an_edited_lock_is_found(draft, frozen):
    text = render_lock(frozen).replace(f"hash: {frozen.hash}", f"hash: {'a' * 64}")
    (found,) = check(current(draft), parse_lock(text.encode(), "x"))
    assert "the lock was edited" in found.summary


def test_two_locks_are_told_apart_in_words(draft, frozen):
    draft.fixtures["fixtures/short/c.json"] = draft.first | {"id": "c"}
    draft.promise["duration"] = "1h"
    assert diff(frozen, lock_of(current(draft))) == (
        "duration: 30m → 1h",
        "fixture fixtures/short/c.json was added",
    )
    assert diff(frozen, frozen) == ()


@pytest.mark.parametrize(
    "text", ["", "[]", "schema: 2", "schema: 1\nhash: x", "contract: a\nversoin: 1", "\t", "a: 1\na: 2"]
)
def test_a_damaged_lock_is_refused_with_its_place(text):
    with pytest.raises(MacfleetError) as caught:
        parse_lock(text.encode(), "contract/contract.lock")
    assert all(each.where.file == "contract/contract.lock" for each in caught.value.diagnostics)
