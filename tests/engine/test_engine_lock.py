from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import replace

import pytest

from macfleet.engine.lock import (
    REFUSED,
    Holder,
    NodeLock,
    break_lock,
    enter_lock,
    read_lock,
    refuse_if_locked,
    refuse_if_taken,
    release_lock,
    show_lock,
    take_lock,
)
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.ssh.wrapping import on_stdin, shell_on_stdin
from macfleet.testing import LocalTransport

MARK = "--n1"
FIRST = Holder("run-1", "ops@desk process 7", "2026-01-01T00:00:00Z", 10, "store-a", "rollout layout")
SECOND = Holder("run-2", "eve@lab process 8", "2026-01-01T00:09:00Z", 11, "store-a", "rollout layout")
SHELLS = [shell for shell in ("dash", "bash", "zsh") if shutil.which(shell)]


@pytest.fixture(params=SHELLS)
def node(request, tmp_path):
    return LocalTransport(tmp_path, shell=(shutil.which(request.param),))  # noqa: S604 (a field)


def take(node, holder):
    """Return the lock that stood in the way, None when it was taken."""
    done = node.run(f"{take_lock(holder, MARK, 30)}\necho worked", deadline=30)
    found = read_lock(done.stdout.decode(), MARK)
    assert (done.exit, b"worked" in done.stdout) == (0, found is None), done
    return found


def enter(node, holder):
    """Return whether a script of the holder may work."""
    done = node.run(f"{enter_lock(holder, MARK, 30)}\necho worked", deadline=30)
    worked = b"worked" in done.stdout
    assert done.exit == (0 if worked else REFUSED), done
    assert (read_lock(done.stdout.decode(), MARK) is None) == worked
    return worked


def held(node):
    return read_lock(node.run(show_lock(MARK), deadline=30).stdout.decode(), MARK)


def lapse(node):
    (node.home / ".macfleet/lock/until").write_text(f"{int(time.time()) - 1}\n")


def test_what_is_taken_is_told_and_released_by_its_holder_alone(node):
    assert (take(node, FIRST), enter(node, FIRST)) == (None, True)
    found = held(node)
    assert (found.holder, found.running, found.stale) == (FIRST, False, False)
    assert 300 <= found.left <= 330
    node.run(release_lock(SECOND), deadline=30)
    assert held(node).holder == FIRST
    node.run(release_lock(FIRST), deadline=30)
    assert held(node) is None


@pytest.mark.parametrize(
    ("wanted", "may"),
    [
        (replace(FIRST, since="later"), True),
        (replace(FIRST, token=11), True),
        (replace(FIRST, token=9), False),
        (SECOND, True),
        (replace(SECOND, token=9), False),
        (replace(SECOND, store="store-b", token=99), False),
        (replace(SECOND, store="", token=0), False),
    ],
    ids=["same run", "resumed", "resumed by a stale one", "let in later", "let in before", "other", "none"],
)
def test_a_lock_is_taken_over_by_its_own_run_or_whom_the_same_store_let_in_later(node, wanted, may):
    take(node, FIRST)
    assert (take(node, wanted) is None) == may
    assert enter(node, wanted) == may
    assert enter(node, FIRST) != may


def test_two_controllers_without_a_store_go_by_the_directory_alone(node):
    one, two = Holder("run-1", "ops", "then"), Holder("run-2", "eve", "later")
    assert (take(node, one), take(node, two).holder) == (None, one)
    assert (enter(node, one), enter(node, two)) == (True, False)


def test_a_lock_that_lapsed_goes_to_anybody_and_its_late_holder_touches_nothing(node):
    stranger = replace(SECOND, store="store-b", token=1)
    take(node, FIRST)
    lapse(node)
    assert held(node).stale
    assert take(node, stranger) is None
    assert (enter(node, FIRST), enter(node, stranger)) == (False, True)
    node.run(release_lock(FIRST), deadline=30)
    assert held(node).holder == stranger


def test_a_directory_without_a_holder_is_somebodys_until_it_is_old(node):
    folder = node.home / ".macfleet/lock"
    folder.mkdir(parents=True)
    found = take(node, FIRST)
    assert (found.holder.run, found.left) == ("unknown", 300)
    subprocess.run(["touch", "-d", "20 minutes ago", folder], check=True)
    assert take(node, FIRST) is None


@pytest.mark.slow
@pytest.mark.parametrize("own", ["", "macfleet-0123456789abcdef"], ids=["by its beginning", "by its word"])
def test_nobody_gets_a_lock_while_a_script_of_its_holder_still_runs(node, own):
    take(node, FIRST)
    script = f"mf_own=$1; set --; {enter_lock(FIRST, MARK, 30)}\necho in; read -r line; echo out"
    running = subprocess.Popen(
        [*node.shell, "-c", script, "sh", own],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"HOME": str(node.home), "PATH": "/usr/bin:/bin"},
        text=True,
    )
    assert running.stdout.readline() == "in\n"
    lapse(node)
    found = take(node, SECOND)
    assert (found.holder, found.running, found.stale) == (FIRST, True, False)
    # The door is open again for the holder, and shut once the other is in.
    assert enter(node, FIRST)
    out, _ = running.communicate("go\n", timeout=30)
    assert out == "out\n"
    assert take(node, SECOND) is None
    assert not enter(node, FIRST)


def test_a_script_that_came_over_ssh_is_known_by_the_word_that_the_process_list_shows(node):
    take(node, FIRST)
    os.mkfifo(node.home / "go")
    script = f'{enter_lock(FIRST, MARK, 30)}\necho in; read -r line <"$HOME/go"'
    running = subprocess.Popen(
        ["sh", "-c", shell_on_stdin("macfleet-01")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"HOME": str(node.home), "PATH": "/usr/bin:/bin"},
    )
    running.stdin.write(on_stdin(script, "macfleet-01"))
    running.stdin.close()
    assert running.stdout.readline() == b"macfleet-01\n"
    assert running.stdout.readline() == b"in\n"
    assert (node.home / ".macfleet/lock/runner.10").read_text() == f"{running.pid} =macfleet-01\n"
    assert held(node).running
    (node.home / "go").write_text("go\n")
    running.wait(60)
    running.stdout.close()
    assert not held(node).running


@pytest.mark.parametrize("known", ["Thu Jan 1 00:00:00 1970", "=macfleet-0123456789abcdef", "=", ""])
def test_another_process_of_the_same_id_is_no_script_of_the_holder(node, known):
    take(node, FIRST)
    (node.home / ".macfleet/lock/runner.10").write_text(f"1 {known}\n")
    assert not held(node).running
    assert take(node, SECOND) is None


def test_a_successor_that_shut_the_door_keeps_the_holder_out_until_it_is_gone_for_a_minute(node):
    take(node, FIRST)
    door = node.home / ".macfleet/lock/next"
    door.mkdir()
    assert (enter(node, FIRST), take(node, SECOND) is None) == (False, False)
    subprocess.run(["touch", "-d", "5 minutes ago", door], check=True)
    assert enter(node, FIRST)
    assert take(node, SECOND) is None


def test_breaking_tells_the_lock_and_ends_what_runs_under_it(node):
    take(node, FIRST)
    script = f"{enter_lock(FIRST, MARK, 30)}\necho in; sleep 300; echo out"
    running = subprocess.Popen(
        [*node.shell, "-c", script],
        stdout=subprocess.PIPE,
        env={"HOME": str(node.home), "PATH": "/usr/bin:/bin"},
        text=True,
    )
    assert running.stdout.readline() == "in\n"
    broken = read_lock(node.run(break_lock(MARK), deadline=30).stdout.decode(), MARK)
    assert (broken.holder, broken.running) == (FIRST, True)
    assert running.communicate(timeout=30)[0] == ""
    assert (held(node), enter(node, FIRST)) == (None, False)
    assert node.run(break_lock(MARK), deadline=30).stdout == b""


def test_detached_steps_of_the_run_are_told_and_ended_with_its_lock(node):
    take(node, FIRST)
    jobs = node.home / ".macfleet/jobs"
    going, others = (subprocess.Popen(["sleep", "300"]) for _ in range(2))
    try:
        ended, silent, stranger = "run-1-b", "run-1-c", "run-2-a"
        for job in ("run-1-a", ended, silent, stranger):
            (jobs / job).mkdir(parents=True)
            pid = going.pid if job in ("run-1-a", ended) else others.pid
            (jobs / job / "status").write_text(f"{pid} file.a\n")
            (jobs / job / "beat").write_text("7\n")
        (jobs / ended / "exit").write_text("0 0\n")
        # Of before a restart: its process id may be anybody's by now.
        subprocess.run(["touch", "-d", "20 minutes ago", jobs / silent / "beat", jobs / silent], check=True)
        (jobs / "run-1-a/beat").unlink()  # it has just begun
        assert (held(node).jobs, held(node).running) == (("run-1-a",), False)
        node.run(break_lock(MARK), deadline=30)
        assert (going.wait(30), others.poll()) == (-9, None)
    finally:
        for each in (going, others):
            each.kill()
            each.wait()


def test_hostile_texts_of_a_holder_stay_texts(node):
    evil = replace(FIRST, who="a'; touch \"$HOME/pwned\"; '\n= left 5", command="$(touch $HOME/pwned)`id`")
    take(node, evil)
    found = held(node)
    assert found.holder.who == "a'; touch \"$HOME/pwned\"; ' = left 5"
    assert found.holder.command == evil.command
    assert not (node.home / "pwned").exists()


@pytest.mark.parametrize("text", ["", "= run\n", "left x\nbusy\n", "= r\n= w\n= s\n= 9\u0663\nleft --5\n"])
def test_what_a_node_tells_may_be_anything(text):
    found = read_lock(f"\n{MARK} locked\n{text}", MARK)
    assert isinstance(found, NodeLock)
    assert found.holder.token in (0, 9)
    assert found.left == 0


def test_both_refusals_exit_6_and_say_what_to_type():
    lines = "".join(f"= {line}\n" for line in FIRST.text().splitlines())
    told = f"\n{MARK} locked\n{lines}left 9\nbusy 1\n"
    for refuse, code, words in (
        (refuse_if_locked, "E0510", "macfleet lock break mac-01"),
        (refuse_if_taken, "E0592", "--resume"),
    ):
        with pytest.raises(MacfleetError) as caught:
            refuse("mac-01", told, MARK)
        (found,) = caught.value.diagnostics
        assert (found.code, found.exit_code, "run-1" in found.summary) == (code, ExitCode.LOCKED, True)
        assert words in found.mend
        refuse("mac-01", "all is well", MARK)
