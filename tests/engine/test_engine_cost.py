"""What a look at a node costs the node: programs started, whatever the clock says."""

import hashlib

import pytest

from macfleet.engine import observe
from macfleet.resources.file import File
from macfleet.testing.mac import PROGRAMS, FakeMac
from macfleet.testing.transport import LocalTransport


@pytest.fixture
def mac(tmp_path):
    """A node that notes each start of stat, shasum and cat."""
    noted = {
        "stat": f'echo stat >>"$HOME/starts"; {PROGRAMS["stat"]}',
        "shasum": f'echo shasum >>"$HOME/starts"; {PROGRAMS["shasum"]}',
        "cat": 'echo cat >>"$HOME/starts"; command cat "$@"',
    }
    return FakeMac(LocalTransport(tmp_path), programs={**PROGRAMS, **noted})


def look(mac, paths):
    files = [File(str(path), b"wanted") for path in paths]
    seen = observe("mac-01", files, mac, nonce=lambda: "abc")
    return [seen.states[each.address] for each in files]


def test_nine_files_are_read_by_two_programs_and_told_through_one(mac):
    paths = [mac.home / f"part {number}" for number in range(9)]
    for path in paths:
        path.write_text(path.name)
    states = look(mac, paths)
    digests = [hashlib.sha256(path.name.encode()).hexdigest() for path in paths]
    assert [state["sha256"] for state in states] == digests
    assert (mac.home / "starts").read_text().split() == ["stat", "shasum", "cat"]


@pytest.mark.parametrize("name", ["two  spaces", "a quote's", "-n", "$HOME"])
def test_a_path_of_any_spelling_gets_its_own_answer(mac, name):
    paths = [mac.home / name, mac.home / "other"]
    for path in paths:
        path.write_text(str(path))
    assert [state["sha256"] for state in look(mac, paths)] == [
        hashlib.sha256(str(path).encode()).hexdigest() for path in paths
    ]


def test_what_is_no_file_is_neither_read_nor_waited_for(mac):
    import os

    os.mkfifo(mac.home / "pipe")
    (mac.home / "link").symlink_to("nowhere")
    states = look(mac, [mac.home / "pipe", mac.home / "link", mac.home / "missing"])
    assert states == [{"type": "special"}, {"type": "link"}, None]
    assert "shasum" not in (mac.home / "starts").read_text()
