"""Steps that take long, over connections that break: started once, followed from anywhere, collected once."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from macfleet.engine import Redial, apply_plan, make_plan, observe
from macfleet.engine.answer import unbundle
from macfleet.engine.happening import Moment
from macfleet.engine.job import FOLLOWING, job_id, job_text
from macfleet.engine.lock import Holder
from macfleet.engine.script import Fragment, bundle
from macfleet.model.diagnostic import Diagnostic, MacfleetError, NodeUnreachable
from macfleet.model.exit_codes import ExitCode
from macfleet.model.ports import Completed
from macfleet.model.resource import Probe, Run, compare
from macfleet.testing import FakeClock, LocalTransport

HOLDER = Holder("run-1", "ops@desk", "2026-01-01T00:00:00Z")
OTHER = Holder("run-2", "eve@desk", "2026-01-02T00:00:00Z")
# macOS lets /bin/sh be any of these; one of them on every run is enough.
SHELLS = [
    pytest.param(shell, marks=() if shell == "dash" else pytest.mark.slow)
    for shell in ("dash", "bash", "zsh")
    if shutil.which(shell)
]
WAITS = 'while [ ! -f "$HOME/go" ]; do sleep 0.05; done'


@dataclass(frozen=True)
class Mark:
    """A file in HOME that a step makes; each step that runs leaves a line in ``steps``."""

    name: str
    script: str = ":"
    limit: float = 600.0
    needs: tuple[str, ...] = ()
    kind: str = "mark"

    @property
    def address(self) -> str:
        return f"mark.{self.name}"

    def probe(self):
        return Probe(
            f'[ -f "$HOME/{self.name}" ]', lambda output: None if output.exit else {"there": True}, 3
        )

    def desired(self):
        return {"there": True}

    def change(self, actual):
        return compare(self.address, self.desired(), actual)

    def steps(self, change):
        log = f'echo {self.name} >>"$HOME/steps"'
        return (Run(f'{log}; {self.script} || exit; : >"$HOME/{self.name}"', limit=self.limit),)


@dataclass
class Line:
    """A connection that is cut when `cut` holds, as a network does it: the node's side runs on."""

    local: LocalTransport
    cut: Callable[[], bool] = lambda: False
    group: int = 0

    def run(self, script, *, deadline, stdin=None, sink=None):
        if self.cut():
            raise NodeUnreachable(_gone())
        self.local.scripts.append(script)
        environment = {**os.environ, "HOME": str(self.local.home), "TMPDIR": "/tmp"}
        running = subprocess.Popen(
            [*self.local.shell, "-s"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        self.group = running.pid
        running.stdin.write(f"{{ {script}\n}} </dev/null\n".encode())
        running.stdin.close()
        os.set_blocking(running.stdout.fileno(), False)
        said = bytearray()
        until = time.monotonic() + deadline
        while True:
            piece = running.stdout.read()
            if piece:
                said += piece
                if sink is not None:
                    sink(piece)
            if piece == b"":
                running.stdout.close()
                return Completed(running.wait(), b"" if sink else bytes(said), b"")
            if self.cut():
                running.stdout.close()
                # As sshd's own parent would: nobody is left to wait for it, and it must not stay a zombie.
                threading.Thread(target=running.wait, daemon=True).start()
                raise NodeUnreachable(_gone())
            assert time.monotonic() < until, "the script ran past its deadline"
            time.sleep(0.01)

    def close(self):
        pass


def _gone():
    return Diagnostic("E0404", "the connection broke", exit_code=ExitCode.UNREACHABLE)


class NoSources:
    def open(self, source):
        raise AssertionError(source)


@pytest.fixture(params=SHELLS)
def node(request, tmp_path):
    shell = (shutil.which(request.param), *(("--emulate", "sh") if request.param == "zsh" else ()))
    yield LocalTransport(tmp_path, shell)
    (tmp_path / "go").touch()


@pytest.fixture
def plain(tmp_path):
    yield LocalTransport(tmp_path)
    (tmp_path / "go").touch()


@pytest.fixture
def told():
    return []


@pytest.fixture(params=["at once", "after a look"])
def at_once(request):
    """Whether the first level goes in the exec that locks and looks, or after it."""
    return request.param == "at once"


@pytest.fixture
def apply(told, at_once):
    counter = itertools.count()

    def carry(resources, line, *, holder=HOLDER, plan=None, **given):
        def nonce():
            return f"n{next(counter)}"

        def report(happenings):
            told.extend((each.moment, each.change.address) for each in happenings)

        if plan is None:
            seen = observe("n", resources, line, nonce=nonce)
            plan = make_plan("n", resources, seen)
            given |= {"answers": seen.answers} if at_once else {}
        return apply_plan(
            plan, resources, line, sources=NoSources(), holder=holder, nonce=nonce, report=report, **given
        )

    return carry


def ran(transport):
    return (transport.home / "steps").read_text().split()


def until(holds):
    give_up = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < give_up, "the condition did not come to hold"
        time.sleep(0.02)


def jobs(transport):
    return sorted(path.name for path in (transport.home / ".macfleet/jobs").glob("*"))


def test_a_long_step_costs_no_exec_more_than_a_short_one_and_leaves_nothing(node, apply, told, at_once):
    applied = apply([Mark("a"), Mark("b", limit=5), Mark("c", needs=("mark.b",))], node)
    assert applied.changed == ("mark.a", "mark.b", "mark.c")
    assert len(node.scripts) == 1 + (0 if at_once else 1) + 2
    assert [each for each in told if each[1] == "mark.a"] == [
        (Moment.SENT, "mark.a"),
        (Moment.BEGAN, "mark.a"),
        (Moment.DONE, "mark.a"),
    ]
    assert jobs(node) == []
    assert not (node.home / ".macfleet/lock").exists()


def test_a_job_goes_on_when_the_connection_breaks_and_is_found_again(node, apply, told):
    began = Line(node, (node.home / "steps").exists)
    back = Line(node)

    def dial():
        (node.home / "go").touch()
        return back

    applied = apply([Mark("a", WAITS)], began, redial=Redial(dial, FakeClock().sleep))
    assert applied.changed == ("mark.a",)
    assert ran(node) == ["a"]
    assert jobs(node) == []
    assert not (node.home / ".macfleet/lock").exists()


def test_a_job_is_followed_by_the_run_that_goes_on_after_its_controller_was_killed(node, apply, told):
    resources = [Mark("a", WAITS), Mark("b", limit=5, needs=("mark.a",))]
    with pytest.raises(NodeUnreachable):
        apply(resources, Line(node, (node.home / "steps").exists))
    assert jobs(node) == [job_id("run-1", "n", "mark.a", 0)]
    told.clear()
    line = Line(node)

    def report_then_go(happenings, inner=told.append):
        for each in happenings:
            inner((each.moment, each.change.address))
            if each.moment is Moment.FOUND:
                (node.home / "go").touch()

    counter = itertools.count(100)

    def nonce():
        return f"n{next(counter)}"

    plan = make_plan("n", resources, observe("n", resources, line, nonce=nonce))
    applied = apply_plan(
        plan, resources, line, sources=NoSources(), holder=HOLDER, nonce=nonce, report=report_then_go
    )
    assert applied.changed == ("mark.a", "mark.b")
    assert (Moment.FOUND, "mark.a") in told
    assert ran(node) == ["a", "b"]
    assert jobs(node) == []


@pytest.mark.slow
def test_a_result_that_arrived_while_nobody_listened_is_collected_and_not_made_again(plain, apply):
    # The job ended well, but what it left is not enough: only its second step makes the mark.
    resources = [Mark("a", WAITS)]
    with pytest.raises(NodeUnreachable):
        apply(resources, Line(plain, (plain.home / "steps").exists))
    (plain.home / "go").touch()
    (job,) = jobs(plain)
    until((plain.home / ".macfleet/jobs" / job / "exit").exists)
    (plain.home / "a").unlink()
    with pytest.raises(MacfleetError) as caught:
        apply(resources, plain)
    assert [d.code for d in caught.value.diagnostics] == ["E0513"]
    assert ran(plain) == ["a"]


def test_a_failed_job_says_why_and_is_tried_again_by_the_next_attempt(node, apply):
    resources = [Mark("a", 'echo no space >&2; [ -f "$HOME/room" ]')]
    with pytest.raises(MacfleetError) as caught:
        apply(resources, node)
    (found,) = caught.value.diagnostics
    assert (found.code, found.address) == ("E0512", "mark.a")
    assert "no space" in found.why
    assert not (node.home / ".macfleet/lock").exists()
    (node.home / "room").touch()
    assert apply(resources, node).changed == ("mark.a",)
    assert ran(node) == ["a", "a"]


def test_a_job_that_somebody_ended_is_told_as_vanished(node, apply, told):
    def murder():
        (pid, *_) = next((node.home / ".macfleet/jobs").glob("*/status")).read_text().split()
        os.killpg(int(pid), signal.SIGKILL)

    def once_it_began():
        if (node.home / "steps").exists() and not killed:
            killed.append(murder())
        return False

    killed = []
    with pytest.raises(MacfleetError) as caught:
        apply([Mark("a", f"echo half way >&2; {WAITS}")], Line(node, once_it_began))
    (found,) = caught.value.diagnostics
    assert (found.code, found.address, found.exit_code) == ("E0570", "mark.a", ExitCode.NODE_FAILED)
    assert found.why.endswith("It last said: half way")
    assert jobs(node) == []


@pytest.mark.slow
def test_what_a_job_prints_is_told_while_it_runs(plain, apply, told):
    said = []

    def report(happenings):
        for each in happenings:
            if each.moment is Moment.SAID:
                said.append(each.text)
                (plain.home / "go").touch()

    counter = itertools.count()
    resources = [Mark("a", f"echo layer 1 of 3 >&2; {WAITS}")]

    def nonce():
        return f"n{next(counter)}"

    line = Line(plain)
    plan = make_plan("n", resources, observe("n", resources, line, nonce=nonce))
    apply_plan(plan, resources, line, sources=NoSources(), holder=HOLDER, nonce=nonce, report=report)
    assert said == ["layer 1 of 3\n"]


@pytest.mark.slow
def test_a_jobs_text_is_in_no_file_and_no_process_list(plain, apply):
    secret = "hunter-two-" + "x" * 20
    seen = []

    def look():
        if (plain.home / "steps").exists() and not seen:
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.append(secret.encode() in path.read_bytes())
                except OSError:
                    continue
            files = [p for p in plain.home.rglob("*") if p.is_file()]
            seen.extend(secret.encode() in p.read_bytes() for p in files)
            (plain.home / "go").touch()
        return False

    apply([Mark("a", f"printf %s {secret} | wc -c; {WAITS}")], Line(plain, look))
    assert len(seen) > 5
    assert not any(seen)


@pytest.mark.parametrize("lacking", [(), ("command -v setsid",)], ids=["setsid", "perl"])
def test_a_job_leads_a_session_of_its_own_in_a_folder_that_nobody_else_reads(tmp_path, lacking):
    following = FOLLOWING
    for program in lacking:
        following = following.replace(program, "false")
    seen = "ps -o sid= -p $$; ps -o pgid= -p $$; echo $$; ls -ld"
    text = job_text("j-1", "mark.a", [Run(f'{seen} "$HOME/.macfleet/jobs/j-1"', limit=40)])
    fragments = [Fragment("a", text, 90, guard="mark.a", job="j-1")]
    transport = LocalTransport(tmp_path)
    done = transport.run(bundle(fragments, nonce="abc", preface=following), deadline=60)
    lines = unbundle(fragments, done.stdout.decode(), nonce="abc")["a"].stdout.split("\n")
    session, group, process = map(int, lines[:3])
    assert session == group == process
    assert lines[3].startswith("drwx------")


@pytest.mark.slow
@pytest.mark.parametrize("shell", SHELLS)
def test_a_job_is_cut_at_a_steps_limit_and_later_steps_do_not_run(tmp_path, shell):
    steps = [Run("sleep 981 & sleep 982", limit=1), Run('touch "$HOME/later"', limit=5)]
    text = job_text("j-1", "mark.a", steps)
    fragments = [Fragment("a", text, 90, guard="mark.a", job="j-1"), Fragment("after", "echo fine", 5)]
    transport = LocalTransport(tmp_path, (shell, "--emulate", "sh") if shell == "zsh" else (shell,))
    done = transport.run(bundle(fragments, nonce="abc", preface=FOLLOWING), deadline=60)
    outputs = unbundle(fragments, done.stdout.decode(), nonce="abc")
    assert (outputs["a"].cut, outputs["a"].exit) == (True, 137)
    assert outputs["after"].stdout == "fine\n"
    assert not (tmp_path / "later").exists()


def test_without_a_listener_what_began_is_finished_and_nothing_else_begins(node, apply):
    # All of one level, so one script: the connection breaks while the first of them runs.
    resources = [Mark("a", WAITS, limit=20), Mark("b", limit=20), Mark("c", limit=20)]
    with pytest.raises(NodeUnreachable):
        apply(resources, Line(node, (node.home / "steps").exists))
    (node.home / "go").touch()
    until((node.home / "a").exists)
    assert apply(resources, node).changed == ("mark.b", "mark.c")
    assert ran(node) == ["a", "b", "c"]


@pytest.mark.slow
def test_a_resumed_run_waits_for_the_step_it_left_behind(node, apply):
    resources = [Mark("a", WAITS, limit=20), Mark("b", limit=20)]
    with pytest.raises(NodeUnreachable):
        apply(resources, Line(node, (node.home / "steps").exists))
    plan = make_plan("n", resources, observe("n", resources, node, nonce=lambda: "nx"))
    assert [change.address for change in plan.pending] == ["mark.a", "mark.b"]
    looked = []

    def let_go():
        if (node.home / ".macfleet/lock/next").exists() and not looked:
            looked.append((node.home / "go").touch())
        return False

    applied = apply(resources, Line(node, let_go), plan=plan)
    assert looked
    assert applied.changed == ("mark.b",)
    assert ran(node) == ["a", "b"]


@pytest.mark.slow
def test_a_living_job_of_a_run_that_is_gone_keeps_others_away(node, apply):
    resources = [Mark("a", WAITS)]
    with pytest.raises(NodeUnreachable):
        apply(resources, Line(node, (node.home / "steps").exists))
    (job,) = jobs(node)
    until((node.home / ".macfleet/jobs" / job / "beat").exists)
    shutil.rmtree(node.home / ".macfleet/lock")
    with pytest.raises(MacfleetError) as caught:
        apply(resources, node, holder=OTHER)
    (found,) = caught.value.diagnostics
    assert (found.code, found.exit_code, found.address) == ("E0573", ExitCode.LOCKED, "mark.a")
    assert "--resume run-1" in found.mend
    assert not (node.home / ".macfleet/lock").exists()
    (node.home / "go").touch()
    until((node.home / ".macfleet/jobs" / job / "exit").exists)
    assert apply(resources, node, holder=OTHER).changed == ()
    assert ran(node) == ["a"]


@pytest.mark.parametrize(
    "status", [None, "of a living process"], ids=["not yet there", "of a living process"]
)
def test_a_job_that_has_not_beaten_yet_keeps_others_away_while_its_folder_is_young(node, apply, status):
    folder = node.home / ".macfleet/jobs/run-0-a"
    folder.mkdir(parents=True)
    if status:
        (folder / "status").write_text(f"{os.getpid()} mark.z\n")
    with pytest.raises(MacfleetError) as caught:
        apply([Mark("a")], node)
    assert [found.code for found in caught.value.diagnostics] == ["E0573"]
    os.utime(folder, (0, 0))
    # Nothing happened there for so long that it goes, too.
    assert apply([Mark("a")], node).changed == ("mark.a",)
    assert not folder.exists()


def test_an_interrupt_leaves_the_job_going_and_says_so(node, apply):
    stopped = []
    line = Line(node)

    def once_it_began():
        if (node.home / "steps").exists() and not stopped:
            # What the command line does: it ends the group of the script that follows the job.
            stopped.append(os.killpg(line.group, signal.SIGTERM))
        return False

    line.cut = once_it_began
    resources = [Mark("a", WAITS)]
    with pytest.raises(MacfleetError) as caught:
        apply(resources, line, stop=lambda: bool(stopped))
    (found,) = caught.value.diagnostics
    (job,) = jobs(node)
    assert (found.code, found.exit_code) == ("E0572", ExitCode.INTERRUPTED)
    assert f"mark.a (job {job})" in found.why
    assert (node.home / ".macfleet/lock/holder").read_text().startswith("run-1\n")
    (node.home / "go").touch()
    until((node.home / ".macfleet/jobs" / job / "exit").exists)
    apply(resources, node)
    assert ran(node) == ["a"]
    assert not (node.home / ".macfleet/lock").exists()


@pytest.mark.slow
@pytest.mark.parametrize("refusals", [1, 5])
def test_a_broken_connection_is_dialled_again_with_growing_jittered_waits(plain, apply, refusals):
    clock = FakeClock(0.0)
    dials = []

    def dial():
        dials.append(clock.now())
        if len(dials) <= refusals:
            raise NodeUnreachable(_gone())
        (plain.home / "go").touch()
        return plain

    line = Line(plain, (plain.home / "steps").exists)
    applied = apply([Mark("a", WAITS)], line, redial=Redial(dial, clock.sleep))
    assert applied.changed == ("mark.a",)
    waits = [after - before for before, after in zip([0.0, *dials], dials, strict=False)]
    assert all(2.0**n / 2 <= wait <= 2.0**n for n, wait in enumerate(waits[:4]))
    assert dials[-1] < 60


def test_a_node_that_does_not_come_back_is_unreachable_and_names_what_goes_on(plain, apply):
    clock = FakeClock(0.0)

    def dial():
        raise NodeUnreachable(_gone())

    line = Line(plain, (plain.home / "steps").exists)
    with pytest.raises(NodeUnreachable) as caught:
        apply([Mark("a", WAITS)], line, redial=Redial(dial, clock.sleep))
    (found,) = caught.value.diagnostics
    assert (found.code, found.exit_code) == ("E0571", ExitCode.UNREACHABLE)
    assert jobs(plain)[0] in found.why
    assert clock.now() < 60


@pytest.mark.slow
def test_a_connection_that_breaks_again_and_again_is_given_up(plain, apply):
    clock = FakeClock(0.0)
    line = Line(plain, (plain.home / "steps").exists)
    with pytest.raises(NodeUnreachable) as caught:
        apply([Mark("a", WAITS)], line, redial=Redial(lambda: line, clock.sleep))
    assert caught.value.diagnostics[0].code == "E0571"


def test_a_stop_ends_the_waiting_for_a_connection():
    clock = FakeClock(0.0)
    stopped = []

    def dial():
        stopped.append(True)
        raise NodeUnreachable(_gone())

    with pytest.raises(NodeUnreachable):
        Redial(dial, clock.sleep).again(lambda: "x", lambda: bool(stopped))
    assert len(stopped) == 1
