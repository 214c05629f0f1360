"""What a look at a node costs the node: programs started, whatever the clock says."""

import hashlib
import shutil
from pathlib import Path

import pytest

from macfleet.engine import ask, observe
from macfleet.engine.answer import unbundle
from macfleet.engine.files import FUNCTIONS
from macfleet.engine.lock import Holder, enter_lock
from macfleet.engine.script import Fragment, bundle, probe_fragments
from macfleet.engine.steps import step_text
from macfleet.facts import versions
from macfleet.model.resource import Probe, ProbeOutput, Put
from macfleet.model.shell import quote
from macfleet.resources import regular
from macfleet.resources.file import File
from macfleet.testing.mac import PROGRAMS, FakeMac
from macfleet.testing.transport import LocalTransport


@pytest.fixture
def mac(tmp_path):
    """A node that notes each start of a program that a look could need."""
    noted = {name: f'echo {name} >>"$HOME/starts"; {PROGRAMS[name]}' for name in ("stat", "sysctl", "docker")}
    noted |= {
        name: f'echo {name} >>"$HOME/starts"; command {name} "$@"'
        for name in ("sha256sum", "cat", "mktemp", "rm", "ls", "sed", "pgrep", "cmp")
    }
    return FakeMac(LocalTransport(tmp_path), programs={**PROGRAMS, **noted})


def look(mac, paths):
    files = [File(str(path), b"wanted") for path in paths]
    seen = observe("mac-01", files, mac, nonce=lambda: "abc")
    return [seen.states[each.address] for each in files]


def test_nine_files_and_the_facts_are_read_by_three_programs(mac):
    paths = [mac.home / f"part {number}" for number in range(9)]
    for path in paths:
        path.write_text(path.name)
    files = [File(str(path), b"wanted") for path in paths]
    seen = observe("mac-01", files, mac, nonce=lambda: "abc", extra=versions.probes())
    assert seen.extra["facts.system"]["chip"] == "Apple M4"
    assert seen.extra["facts.docker"] is None
    assert (mac.home / "starts").read_text().split() == ["stat", "sha256sum", "sysctl"]


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
    assert not (mac.home / "starts").exists()


SHELLS = [
    pytest.param(shell, marks=() if shell == "dash" else pytest.mark.slow)
    for shell in ("dash", "bash", "zsh")
    if shutil.which(shell)
]


def answers(tmp_path, *fragments, shell="sh", as_mac=False):
    """Run probes as one script; each one's answer by name."""
    local = LocalTransport(tmp_path, (shell, "--emulate", "sh") if shell == "zsh" else (shell,))
    node = FakeMac(local, programs=PROGRAMS) if as_mac else local
    done = node.run(bundle(fragments, nonce="abc"), deadline=60)
    assert done.stdout.endswith(b"\n--abc end\n")
    return unbundle(fragments, done.stdout.decode(), nonce="abc", stderr=done.stderr.decode())


def asking(name, path, limit=20.0):
    return Fragment(name, f'printf "{name} "; mf_file {quote(str(path))}', limit, file=str(path))


def test_what_is_plain_runs_in_one_shell_and_before_all_others(tmp_path):
    probes = {
        "first": Probe("echo $mine; mine=1", str),
        "shared": Probe("mine=2; echo $mine", str, plain=True),
        "file": Probe("echo $mine; mf_file /none", str, file="/none"),
        "last": Probe("echo $mine", str, plain=True),
    }
    fragments = probe_fragments(probes)
    assert [fragment.name for fragment in fragments] == ["shared", "file", "last", "first"]
    found = answers(tmp_path, *fragments)
    assert {name: each.stdout for name, each in found.items()} == {
        "shared": "2\n",
        "file": "2\n",
        "last": "2\n",
        "first": "\n",
    }


def test_an_answer_is_the_same_in_a_group_and_alone(mac, tmp_path):
    (tmp_path / "a").write_text("a")
    fragments = [
        asking("one", mac.home / "a"),
        asking("two", mac.home / "a"),
        asking("three", mac.home / "b"),
    ]
    other = Fragment("other", "echo said; echo wrong >&2; exit 3", 20)
    done = mac.run(bundle([*fragments, other], nonce="abc"), deadline=60)
    found = unbundle([*fragments, other], done.stdout.decode(), nonce="abc")
    digest = hashlib.sha256(b"a").hexdigest()
    for name in ("one", "two"):
        head, tail = found[name].stdout.splitlines()
        assert head.startswith(f"{name} 06")
        assert tail == f"{digest}  {mac.home}/a"
    assert (found["three"].exit, found["three"].stdout) == (1, "three ")
    assert found["other"] == ProbeOutput(3, "said\n", "wrong\n")


@pytest.mark.parametrize("shell", SHELLS)
def test_what_is_asked_of_several_files_is_written_once_and_answered_as_if_it_were_not(tmp_path, shell):
    (tmp_path / "file").write_text("a")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "fol der's").mkdir()
    paths = [str(tmp_path / name) for name in ("file", "link", "fol der's", "missing", "file")]
    texts = [regular.script(path, become=False) for path in paths]
    pieces = [Fragment(str(at), texts[at], 20, file=path) for at, path in enumerate(paths)]
    other = [
        Fragment("other", "p=1\necho said", 20, plain=True),
        Fragment("more", "p=1\necho said", 20, plain=True),
    ]
    together = answers(tmp_path, *pieces, *other, shell=shell, as_mac=True)
    alone = [answers(tmp_path, piece, shell=shell, as_mac=True)[piece.name] for piece in pieces]
    assert [together[piece.name] for piece in pieces] == alone
    assert [together[piece.name].stdout for piece in other] == ["said\n", "said\n"]
    assert [answer.stdout.split()[0] for answer in alone] == ["file", "other", "other", "absent", "file"]
    assert {answer.exit for answer in alone} == {0}


def test_one_more_file_costs_a_script_little_more_than_its_path_twice():
    path = "/Users/macfleet/Library/Caches/part-{}.conf"

    def size(count):
        names = [path.format(at) for at in range(10, 10 + count)]
        pieces = [Fragment(name, regular.script(name, become=False), 20, file=name) for name in names]
        return len(bundle(pieces, nonce="abc"))

    assert size(40) - size(39) <= 2 * len(path) + 30


def test_each_group_of_a_script_keeps_its_own_tables(mac):
    for name in "ab":
        (mac.home / name).write_text(name)
    fragments = [
        asking("one", mac.home / "a"),
        Fragment("other", "echo other", 20),
        asking("two", mac.home / "b"),
    ]
    done = mac.run(bundle(fragments, nonce="abc"), deadline=60)
    found = unbundle(fragments, done.stdout.decode(), nonce="abc")
    for name, content in (("one", b"a"), ("two", b"b")):
        assert hashlib.sha256(content).hexdigest() in found[name].stdout


@pytest.mark.parametrize("others", [True, False], ids=["with others", "alone"])
@pytest.mark.parametrize("shell", SHELLS)
def test_one_of_a_group_that_hangs_is_cut_and_those_before_it_count(tmp_path, shell, others):
    fragments = [
        Fragment("first", "echo first", 0.3, plain=True),
        Fragment("hangs", "printf begun; sh -c 'sleep 987; :'", 0.3, plain=True),
        Fragment("last", "echo last", 0.3, file="/none/3"),
        *([Fragment("other", "echo other", 20)] if others else []),
    ]
    found = answers(tmp_path, *fragments, shell=shell)
    assert found["first"] == ProbeOutput(0, "first\n")
    assert (found["hangs"].stdout.strip(), found["hangs"].cut) == ("begun", True)
    assert "last" not in found
    assert not others or found["other"].stdout == "other\n"


def test_a_plain_probe_that_failed_gets_what_was_printed_as_an_error(tmp_path):
    fragments = [
        Fragment("fails", "echo why >&2; false", 20, plain=True),
        Fragment("works", "echo fine", 20, plain=True),
    ]
    assert answers(tmp_path, *fragments) == {
        "fails": ProbeOutput(1, "", "why\n"),
        "works": ProbeOutput(0, "fine\n"),
    }


@pytest.mark.parametrize("given", [True, False])
def test_what_is_not_given_answers_nothing_and_runs_nothing(mac, given):
    if given:
        (mac.home / "there").touch()
    probe = Probe("mktemp -u >/dev/null; echo ran", str, given='[ -e "$HOME/there" ]')
    found = ask({"one": probe, "two": Probe("echo two", str, plain=True)}, mac, nonce=lambda: "abc")
    assert found["one"] == ProbeOutput(0, "ran\n" if given else "")
    assert found["two"] == ProbeOutput(0, "two\n")
    assert (mac.home / "starts").exists() == given


def test_a_mac_without_sha256sum_is_asked_by_shasum(tmp_path):
    (tmp_path / "shasum").write_text('#!/bin/sh\necho "shasum $*"\n')
    (tmp_path / "shasum").chmod(0o755)
    script = f"PATH={quote(str(tmp_path))}\n{FUNCTIONS}\nmf_sums /a /b"
    assert LocalTransport(tmp_path).run(script, deadline=60).stdout == b"shasum -a 256 /a /b\n"


@pytest.mark.parametrize("path", ["/a\\b", "/a\nb", ""])
def test_what_the_tables_cannot_name_is_asked_alone(path):
    fragments = [Fragment(str(number), "echo", 20, file=path) for number in range(2)]
    assert not any(fragment.shares for fragment in fragments)


def test_a_file_that_is_written_costs_one_program_however_many_there_are(tmp_path):
    watched = ("cat", "find", "head", "mktemp", "chmod", "mv", "ps")
    noted = {name: f'echo {name} >>"$HOME/starts"; command {name} "$@"' for name in watched}
    mac = FakeMac(LocalTransport(tmp_path), programs={**PROGRAMS, **noted})
    holder = Holder("run-1", "ops", "2026-11-23T00:00:00")
    (mac.home / ".macfleet" / "lock").mkdir(parents=True)
    (mac.home / ".macfleet" / "lock" / "holder").write_text(holder.text())
    puts = [Put(str(mac.home / f"part {number}"), b"it's\ncontent\n", "0640") for number in range(9)]
    steps = [Fragment(f"{at}.0", step_text(put), 30, guard=str(at)) for at, put in enumerate(puts)]
    script = bundle(steps, nonce="abc", preface=f"mf_own=macfleet-1\n{enter_lock(holder, '--abc', 60)}\n")
    found = unbundle(steps, mac.run(script, deadline=60).stdout.decode(), nonce="abc")
    assert [found[step.name].exit for step in steps] == [0] * 9
    starts = (mac.home / "starts").read_text().split()
    assert starts[:1] == ["mktemp"]  # the script's own folder
    assert starts[1:] == ["mv"] * 9
    for put in puts:
        path = Path(put.path)
        assert (path.read_bytes(), path.stat().st_mode & 0o777) == (put.content, 0o640)


@pytest.mark.parametrize("stands", ["nothing", "a file", "a link"])
def test_what_stands_where_the_new_file_is_made_is_neither_kept_nor_followed(tmp_path, stands):
    (tmp_path / "other").write_text("other")
    prepare = {
        "nothing": "",
        "a file": "echo old >.macfleet.$$; ",
        "a link": f"ln -s {quote(str(tmp_path / 'other'))} .macfleet.$$; ",
    }[stands]
    put = Put(str(tmp_path / "new"), b"new", "0600")
    done = LocalTransport(tmp_path).run(f"cd {quote(str(tmp_path))}; {prepare}{step_text(put)}", deadline=60)
    assert (done.exit, done.stderr) == (0, b"")
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert found == {"new": "new", "other": "other"}
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "new").is_symlink()


@pytest.mark.parametrize("mode", ["0755", "2644", "0444", "0666", "0000"])
def test_a_file_has_the_mode_that_was_asked_for_whether_the_shell_can_make_it_or_not(tmp_path, mode):
    put = Put(str(tmp_path / "new"), b"new", mode)
    assert LocalTransport(tmp_path).run(step_text(put), deadline=60).exit == 0
    assert (tmp_path / "new").stat().st_mode & 0o7777 == int(mode, 8)


def test_a_lock_that_passed_on_between_two_files_stops_the_second(tmp_path):
    mac = FakeMac(LocalTransport(tmp_path))
    holder, other = Holder("run-1", "ops", "now"), Holder("run-2", "eve", "now")
    lock = mac.home / ".macfleet" / "lock" / "holder"
    lock.parent.mkdir(parents=True)
    lock.write_text(holder.text())
    texts = [
        f"printf %s {quote(other.text())} >{quote(str(lock))}",
        f"touch {quote(str(tmp_path / 'second'))}",
    ]
    steps = [Fragment(f"{at}.0", text, 30, guard=str(at)) for at, text in enumerate(texts)]
    script = bundle(steps, nonce="abc", preface=f"{enter_lock(holder, '--abc', 60)}\n")
    found = unbundle(steps, mac.run(script, deadline=60).stdout.decode(), nonce="abc")
    assert list(found) == ["0.0"]
    assert not (tmp_path / "second").exists()
