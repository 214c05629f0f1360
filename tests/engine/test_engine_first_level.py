"""The first level in the exec that locks and looks: only where the node answers as when it was planned."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from macfleet.engine import Redial, apply_plan, make_plan, observe
from macfleet.engine.answer import unbundle
from macfleet.engine.forecast import only_as_planned
from macfleet.engine.happening import Moment
from macfleet.engine.lock import Holder
from macfleet.engine.script import bundle, probe_fragments
from macfleet.model.diagnostic import Diagnostic, MacfleetError, NodeUnreachable
from macfleet.model.exit_codes import ExitCode
from macfleet.model.ports import Completed
from macfleet.model.resource import Probe, Run, compare
from macfleet.model.shell import quote
from macfleet.resources.file import File
from macfleet.testing import FakeClock, LocalTransport
from macfleet.testing.mac import FakeMac

HOLDER = Holder("run-1", "ops@desk", "2026-01-01T00:00:00Z")
SHELLS = [shell for shell in ("dash", "bash", "zsh") if shutil.which(shell)]


@dataclass(frozen=True)
class Note:
    """A file in HOME with a text; `said` is printed by the probe besides and means nothing."""

    name: str
    text: str = "wanted"
    needs: tuple[str, ...] = ()
    step: str = ""
    said: str = ""
    kind: str = "note"

    @property
    def address(self):
        return f"note.{self.name}"

    def probe(self):
        def parse(output):
            return None if output.exit == 9 else {"text": output.stdout.partition("|")[0]}

        return Probe(f'[ -f "$HOME/{self.name}" ] || exit 9; cat "$HOME/{self.name}"; {self.said}', parse, 3)

    def desired(self):
        return {"text": self.text}

    def change(self, actual):
        return compare(self.address, self.desired(), actual)

    def steps(self, change):
        log = f'echo {self.name} >>"$HOME/steps"'
        return (Run(f'{log}; printf %s {quote(self.text)} >"$HOME/{self.name}"; {self.step}'),)


@dataclass
class Meddled:
    """A node on which something happens before or after the n-th script from now."""

    inner: object
    turn: int
    before: Callable[[], object] = lambda: None
    after: Callable[[], object] = lambda: None

    def run(self, script, **given):
        self.turn -= 1
        if self.turn == 0:
            self.before()
        done = self.inner.run(script, **given)
        if self.turn == 0:
            self.after()
        return done


@dataclass
class Deaf:
    """A connection over which every script runs, and the first one's answer is lost."""

    inner: LocalTransport

    def run(self, script, **given):
        self.inner.run(script, deadline=given["deadline"])
        raise NodeUnreachable(Diagnostic("E0404", "the connection broke", exit_code=ExitCode.UNREACHABLE))


class NoSources:
    def open(self, source):
        raise AssertionError(source)


class Bench:
    """Plans on a node and applies, and keeps what was told."""

    def __init__(self, node):
        self.node = node
        self.told = []
        self._numbers = itertools.count()

    def nonce(self):
        return f"n{next(self._numbers)}"

    def plan(self, *resources):
        self.resources = resources
        self.seen = observe("n", resources, self.node, nonce=self.nonce)
        self.planned = make_plan("n", resources, self.seen)
        self.node.scripts.clear()

    def apply(self, line=None, **given):
        def report(happenings):
            self.told += [(each.moment, each.change.address) for each in happenings]

        return apply_plan(
            self.planned,
            self.resources,
            line or self.node,
            sources=NoSources(),
            holder=HOLDER,
            nonce=self.nonce,
            report=report,
            answers=self.seen.answers,
            **given,
        )

    def refused(self, line=None, **given):
        with pytest.raises(MacfleetError) as caught:
            self.apply(line, **given)
        return [(each.code, each.address) for each in caught.value.diagnostics]

    @property
    def steps(self):
        path = self.node.home / "steps"
        return path.read_text().split() if path.exists() else []

    @property
    def locked(self):
        return (self.node.home / ".macfleet/lock").exists()


@pytest.fixture(params=SHELLS)
def bench(request, tmp_path):
    shell = (request.param, *(("--emulate", "sh") if request.param == "zsh" else ()))
    return Bench(LocalTransport(tmp_path, shell))


def test_one_level_costs_one_exec_and_leaves_no_lock(bench):
    bench.plan(Note("a"), Note("b"), Note("c", "there", said="echo '|'"))
    assert bench.apply().changed == ("note.a", "note.b", "note.c")
    assert (len(bench.node.scripts), bench.steps, bench.locked) == (1, ["a", "b", "c"], False)
    assert [moment for moment, _ in bench.told] == [Moment.SENT] * 3 + [Moment.BEGAN, Moment.DONE] * 3


def test_each_further_level_costs_one_exec_and_the_last_frees_the_lock(bench):
    bench.plan(Note("a"), Note("b", needs=("note.a",)), Note("c", needs=("note.b",)))
    assert bench.apply().changed == ("note.a", "note.b", "note.c")
    assert (len(bench.node.scripts), bench.locked) == (3, False)


def test_levels_with_nothing_to_do_cost_nothing_before_the_first_and_a_release_after_the_last(bench):
    for name in ("a", "c"):
        (bench.node.home / name).write_text("wanted")
    bench.plan(Note("a"), Note("b", needs=("note.a",)), Note("c", needs=("note.b",)))
    assert bench.apply().changed == ("note.b",)
    assert (len(bench.node.scripts), bench.locked) == (2, False)


@pytest.mark.parametrize("changed", ["a", "b", "other"])
def test_whatever_changed_since_the_plan_nothing_begins_and_it_is_named(bench, changed):
    (bench.node.home / "other").write_text("wanted")
    bench.plan(Note("a"), Note("b"), Note("other"))
    line = Meddled(bench.node, 1, lambda: (bench.node.home / changed).write_text("somebody's"))
    assert bench.refused(line) == [("E0511", f"note.{changed}")]
    assert (bench.steps, bench.locked) == ([], False)
    sent, withheld = (
        [(moment, f"note.{name}") for name in "ab"] for moment in (Moment.SENT, Moment.WITHHELD)
    )
    assert bench.told == [*sent, *withheld]


def test_an_answer_that_means_the_same_in_other_words_is_compared_here_and_gone_on_with(bench):
    (bench.node.home / "other").write_text("wanted")
    bench.plan(Note("a"), Note("other", said='printf "|$$"'))
    assert bench.apply().changed == ("note.a",)
    assert (len(bench.node.scripts), bench.steps, bench.locked) == (2, ["a"], False)
    assert [moment for moment, address in bench.told if address == "note.a"] == [
        Moment.SENT,
        Moment.WITHHELD,
        Moment.SENT,
        Moment.BEGAN,
        Moment.DONE,
    ]


@pytest.mark.parametrize(
    "said", ["printf 'a\\0b'", "head -c 70000 /dev/zero | tr '\\0' x"], ids=["NUL", "large"]
)
def test_what_cannot_be_foretold_is_looked_at_first(bench, said):
    (bench.node.home / "other").write_text("wanted")
    bench.plan(Note("a"), Note("other", said=f"printf '|'; {said}"))
    assert bench.apply().changed == ("note.a",)
    assert len(bench.node.scripts) == 2
    assert Moment.WITHHELD not in [moment for moment, _ in bench.told]


def test_a_failed_step_is_told_and_the_lock_freed(bench):
    bench.plan(Note("a", step="exit 3"), Note("b"))
    assert bench.refused() == [("E0512", "note.a")]
    assert (bench.steps, bench.locked) == (["a"], False)
    assert bench.told[-2:] == [(Moment.BEGAN, "note.a"), (Moment.FAILED, "note.a")]


def test_steps_that_do_not_lead_to_what_is_wanted_are_an_error_and_free_the_lock(bench):
    bench.plan(Note("a", step='printf wrong >"$HOME/a"'))
    assert bench.refused() == [("E0513", "note.a")]
    assert (len(bench.node.scripts), bench.locked) == (1, False)


def test_a_node_that_another_run_holds_is_left_alone(bench):
    bench.plan(Note("a"))
    lock = bench.node.home / ".macfleet/lock"
    lock.mkdir(parents=True)
    (lock / "holder").write_text(Holder("run-2", "eve", "now").text())
    assert bench.refused() == [("E0510", "")]
    assert (bench.steps, bench.locked) == ([], True)
    assert bench.told == [(Moment.SENT, "note.a"), (Moment.WITHHELD, "note.a")]


def test_a_lock_of_the_same_run_is_taken_over_after_a_look(bench):
    bench.plan(Note("a"))
    lock = bench.node.home / ".macfleet/lock"
    lock.mkdir(parents=True)
    (lock / "holder").write_text(HOLDER.text())
    assert bench.apply().changed == ("note.a",)
    assert (bench.steps, bench.locked) == (["a"], False)


def test_a_lock_that_passes_on_between_two_steps_stops_the_second(bench):
    other = quote(Holder("run-2", "eve", "now").text())
    bench.plan(Note("a", step=f'printf %s {other} >"$HOME/.macfleet/lock/holder"'), Note("b"))
    assert bench.refused() == [("E0592", "")]
    assert (bench.steps, bench.locked) == (["a"], True)


def test_what_ran_while_its_answer_was_lost_is_found_and_not_run_again(bench):
    bench.plan(Note("a"), Note("b"))
    clock = FakeClock(0.0)
    applied = bench.apply(Deaf(bench.node), redial=Redial(lambda: bench.node, clock.sleep))
    assert applied.changed == ("note.a", "note.b")
    assert (bench.steps, bench.locked) == (["a", "b"], False)
    assert bench.told[-2:] == [(Moment.DONE, "note.a"), (Moment.DONE, "note.b")]


def test_a_node_that_never_answered_is_unreachable_for_the_first_reason(bench):
    bench.plan(Note("a"))

    def dial():
        raise NodeUnreachable(Diagnostic("E0401", "no answer", exit_code=ExitCode.UNREACHABLE))

    assert bench.refused(Deaf(bench.node), redial=Redial(dial, FakeClock(0.0).sleep)) == [("E0404", "")]


def test_a_script_that_ends_without_a_word_leaves_open_what_it_did(bench):
    bench.plan(Note("a"))

    class Killed:
        def run(self, script, **given):
            return Completed(0, b"", b"")

    assert bench.refused(Killed()) == [("E0503", "note.a")]
    assert bench.told == [(Moment.SENT, "note.a")]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_answers_about_files_of_any_kind_and_name_are_foretold_to_the_byte(tmp_path, shell):
    words = (shell, *(("--emulate", "sh") if shell == "zsh" else ()))
    mac = FakeMac(LocalTransport(tmp_path, words))
    for name in ("plain", "a'quote", "back\\slash", "ü", "-n", "$HOME", "two  spaces"):
        (mac.home / name).write_text(name)
    (mac.home / "link").symlink_to(mac.home / "plain")
    (mac.home / "lost").symlink_to(mac.home / "nowhere")
    (mac.home / "folder").mkdir()
    os.mkfifo(mac.home / "pipe")
    names = [*sorted(path.name for path in mac.home.iterdir() if path.name != "link"), "missing"]
    resources = [each for name in names for each in (File(str(mac.home / name), b""), Note(name))]
    resources = [*resources, *(File(str(mac.home / name), b"") for name in reversed(names))]
    looks = probe_fragments({str(at): each.probe() for at, each in enumerate(resources)})
    done = mac.run(bundle(looks, nonce="before"), deadline=60)
    answers = unbundle(looks, done.stdout.decode(), nonce="before")
    gate = only_as_planned(looks, answers, mark="--now", start=7)
    done = mac.run(bundle(looks, nonce="now", preface=f"mf_took=\n{gate}"), deadline=60)
    assert done.stdout.startswith(b"\n--now same\n")
    (mac.home / "plain").chmod(0o600)
    done = mac.run(bundle(looks, nonce="now", preface=f"mf_took=\n{gate}"), deadline=60)
    assert b"\n--now same\n" not in done.stdout
    assert done.stdout.endswith(b"\n--now end\n")
