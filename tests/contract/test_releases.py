"""Releases in a lock: what is in use, what was before it, and who went back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macfleet.contract.images import load_images_lock
from macfleet.contract.releases import (
    EVERYBODY,
    KEPT,
    Brought,
    Release,
    load_releases,
    lock_file,
    parse_releases,
    pinned,
    render_releases,
    succeeded,
    went_back,
)
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.image import Blob, LockedImage, ResolvedImage

NODES = ("mac-01", "mac-02", "mac-03")


def release(letter, brought=None):
    """A release of one image whose digests are made of one letter."""
    digest = f"sha256:{letter * 64}"
    reference = f"registry.example/engine:{letter}"
    image = ResolvedImage(
        reference, "registry.example/engine", digest, digest, digest, "linux/arm64", (Blob(digest, 1),)
    )
    return Release({"engine": LockedImage("engine", reference, digest, {"linux/arm64": image})}, brought)


def images(letter):
    return tuple(release(letter).images.values())


def letters(lock):
    """The release in use, then the earlier ones, by the letter of their digests."""
    return "".join(each.images["engine"].index[7] for each in (lock.newest, *lock.earlier))


def run_by(lock):
    return "".join(lock.of(name).images["engine"].index[7] for name in NODES)


def lock_of(*steps):
    """A lock after pins, in order."""
    lock = None
    for letter in steps:
        lock = pinned(lock, images(letter))
    return lock


def test_each_pin_of_other_bytes_keeps_what_was_before():
    lock = lock_of("a", "b", "b", "c")
    assert letters(lock) == "cba"
    assert run_by(lock) == "ccc"


def test_a_lock_keeps_only_so_many_releases():
    assert letters(lock_of(*"abcdef0123")) == "3210fed"[: KEPT + 1]


def test_one_node_goes_back_and_the_others_stay():
    lock = lock_of("a", "b")
    lock = went_back(lock, {"mac-02": lock.before(lock.newest)}, NODES)
    assert run_by(lock) == "bab"
    assert dict(lock.returned) == {"mac-02": release("a").id}


def test_when_all_go_back_a_new_node_begins_with_what_they_run():
    lock = lock_of("a", "b")
    lock = went_back(lock, dict.fromkeys(NODES, lock.before(lock.newest)), NODES)
    assert run_by(lock) == "aaa"
    assert lock.of("mac-99").id == release("a").id
    assert dict(lock.returned) == {EVERYBODY: release("a").id}


def test_nodes_that_go_back_one_after_the_other_end_as_all_at_once():
    lock = lock_of("a", "b")
    for name in NODES:
        lock = went_back(lock, {name: lock.before(lock.of(name))}, NODES)
    assert dict(lock.returned) == {EVERYBODY: release("a").id}


def test_a_node_goes_back_further_than_the_rest():
    lock = lock_of("a", "b", "c")
    lock = went_back(lock, dict.fromkeys(NODES, lock.before(lock.newest)), NODES)
    lock = went_back(lock, {"mac-03": lock.before(lock.of("mac-03"))}, NODES)
    assert run_by(lock) == "bba"


def test_nothing_is_before_the_first_release():
    lock = lock_of("a", "b")
    assert lock.before(release("a")) is None
    assert lock.before(release("f")) is None


def test_pinning_the_same_bytes_again_leaves_back_who_went_back():
    lock = lock_of("a", "b")
    lock = went_back(lock, {"mac-02": lock.before(lock.newest)}, NODES)
    assert pinned(lock, images("b")) == lock


def test_pinning_other_bytes_takes_everybody_along():
    lock = lock_of("a", "b")
    lock = went_back(lock, {"mac-02": lock.before(lock.newest)}, NODES)
    lock = pinned(lock, images("c"))
    assert (run_by(lock), letters(lock)) == ("ccc", "cba")


def test_what_everybody_left_is_not_what_a_later_rollback_returns_to():
    lock = lock_of("a", "b")
    lock = went_back(lock, dict.fromkeys(NODES, lock.before(lock.newest)), NODES)
    lock = succeeded(lock, release("c"))
    assert letters(lock) == "ca"


def test_promoted_and_taken_back_and_promoted_again():
    lock = succeeded(None, release("a"))
    for _ in range(2):
        lock = succeeded(lock, release("b"))
        assert (run_by(lock), letters(lock)) == ("bbb", "ba")
        lock = went_back(lock, dict.fromkeys(NODES, lock.before(lock.of("mac-01"))), NODES)
        assert run_by(lock) == "aaa"


@settings(deadline=None, max_examples=60)
@given(st.lists(st.one_of(st.sampled_from("abcd"), st.sampled_from(NODES)), max_size=12))
def test_a_lock_reads_as_it_was_written_whatever_was_done_to_it(steps):
    lock = succeeded(None, release("0", Brought("staging", "ops@desk", "2026-11-23T04:12:05Z", "why: not")))
    for step in steps:
        if step in NODES:
            before = lock.before(lock.of(step))
            lock = went_back(lock, {step: before}, NODES) if before else lock
        else:
            lock = succeeded(lock, release(step))
    text = render_releases(lock, "production")
    assert parse_releases(text.encode(), "images.production.lock") == lock
    assert len(lock.earlier) <= KEPT
    assert all(lock.of(name) in (lock.newest, *lock.earlier) for name in NODES)


def test_a_lock_with_earlier_releases_reads_as_images_lock(text_files):
    files = text_files({"images.lock": render_releases(lock_of("a", "b"))})
    assert load_images_lock(files) == release("b").images


def test_a_lock_of_before_there_were_releases_is_one_release(text_files):
    text = render_releases(lock_of("a"))
    assert "earlier" not in text
    assert "returned" not in text
    assert load_releases(text_files({"images.lock": text})) == lock_of("a")


def test_there_need_not_be_a_lock(text_files):
    assert load_releases(text_files({}), lock_file("production")) is None


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (("returned: {mac-01: r-0000000000}\n", ""), "E0688"),
        (("returned: {mac-01: [a]}\n", ""), "E0623"),
        (("brought: {who: me}\n", ""), "E0623"),
        (("earlier: [{pictures: {}}]\n", ""), "E0623"),
        (("schema: 2\n", "schema: 1\n"), "E0623"),
    ],
)
def test_a_damaged_lock_is_refused_with_its_line(text_files, change, code):
    added, removed = change
    text = render_releases(lock_of("a"), "production").replace(removed, "") + added
    with pytest.raises(MacfleetError) as refused:
        load_releases(text_files({"images.production.lock": text}), "images.production.lock")
    assert {problem.code for problem in refused.value.diagnostics} == {code}
    assert {problem.where.file for problem in refused.value.diagnostics} == {"images.production.lock"}
    assert refused.value.exit_code is ExitCode.USAGE
