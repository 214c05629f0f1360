"""What a plan would change in the text of files, as `--diff` shows it."""

from dataclasses import replace

import pytest

from macfleet.model.secret import Secret
from macfleet.model.stage import StageName
from macfleet.rollout.differences import LINES
from macfleet.views.rollout import lines
from macfleet.views.rollout_document import document

LAYOUT, NETWORK = StageName.LAYOUT, StageName.NETWORK
PATH = "{{ compose_file }}"


class KnownSecrets:
    def resolve(self, reference):
        return Secret(f"what {reference} leads to")


@pytest.fixture
def changed(fleet):
    fleet.upto(NETWORK)
    for name in ("mac-01", "mac-02"):
        (fleet.home(name) / "compose.yaml").write_text("first\nmode: host\nlast\n")
    return fleet


def shown(fleet, *names, more=None, **options):
    """Return the differences of one file by node."""
    if more is not None:
        fleet.use(LAYOUT, more=f"    - name: it\n      file: {{path: '{PATH}', {more}}}\n")
    result = fleet.rollout(LAYOUT, *names, **{"check": True, "diff": True, **options})
    return {each.node: next(iter(each.differences.values()), "") for each in result.results}


def test_a_difference_shows_what_goes_and_what_comes(changed):
    text = shown(changed, "mac-01")["mac-01"].splitlines()
    assert text[2:] == ["@@ -1,3 +1 @@", "-first", "-mode: host", "-last", "+mode: bridge"]


def test_a_difference_follows_the_table_with_control_signs_in_words_and_stands_in_json(changed):
    changed.use(
        LAYOUT, more="    - name: it\n      file: {path: '{{ compose_file }}', content: \"a\\x1b\\n\"}\n"
    )
    result = changed.rollout(LAYOUT, check=True, diff=True)
    text = list(lines(result, changed.desired))
    told = [line for line in text if line.endswith("compose.yaml on mac-02") or "x1b" in line]
    assert told == ["  +a\\x1b", f"file {changed.home('mac-02')}/compose.yaml on mac-02", "  +a\\x1b"]
    one, two = document(result)["nodes"]
    assert (list(one["differences"]), list(two["differences"])) == (
        [f"file.{changed.home('mac-01')}/compose.yaml"],
        [f"file.{changed.home('mac-02')}/compose.yaml"],
    )


def test_nothing_is_read_unless_it_is_asked_for_and_only_of_a_check(changed):
    assert shown(changed, diff=False) == {"mac-01": "", "mac-02": ""}
    assert "differences" not in document(changed.rollout(LAYOUT, check=True))["nodes"][0]
    assert shown(changed, check=False) == {"mac-01": "", "mac-02": ""}


def test_a_file_that_is_not_there_yet_comes_whole_and_one_that_goes_goes_whole(changed):
    (changed.home("mac-01") / "compose.yaml").unlink()
    assert shown(changed, "mac-01")["mac-01"].splitlines()[2:] == ["@@ -0,0 +1 @@", "+mode: bridge"]
    text = shown(changed, "mac-02", more="state: absent")["mac-02"].splitlines()
    assert text[2:] == ["@@ -1,3 +0,0 @@", "-first", "-mode: host", "-last"]


@pytest.mark.parametrize(
    ("before", "more", "told"),
    [
        (b"x\n", 'content_secret: "env:TOKEN"', "not shown: not everybody may read it"),
        (b"x\n", 'content: y, mode: "0600"', "not shown: not everybody may read it"),
        (b"\x00x", "content: y", "not shown: not text"),
        (b"\xffx", "content: y", "not shown: not text"),
        (b"x" * 70_000, "content: y", "not shown: larger than 64 KiB"),
        (b"x", 'content: "x\\n"', "only the ends of lines differ"),
    ],
)
def test_what_cannot_be_shown_is_told_in_words(changed, before, more, told):
    changed.desired = replace(changed.desired, secrets=KnownSecrets())
    (changed.home("mac-01") / "compose.yaml").write_bytes(before)
    assert shown(changed, "mac-01", more=more) == {"mac-01": told}


def test_a_file_that_others_may_not_read_on_the_node_is_not_shown(changed):
    (changed.home("mac-01") / "compose.yaml").chmod(0o600)
    assert shown(changed, "mac-01") == {"mac-01": "not shown: not everybody may read it"}


def test_a_long_difference_is_cut_and_says_how_much_is_missing(changed):
    (changed.home("mac-01") / "compose.yaml").write_text("x\n" * 1000)
    text = shown(changed, "mac-01")["mac-01"].splitlines()
    assert (len(text), text[-1]) == (LINES + 1, f"… {1004 - LINES} lines more")
