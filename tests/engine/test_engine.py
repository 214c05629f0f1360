from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from macfleet.engine import apply_plan, make_plan, observe
from macfleet.engine.answer import unbundle
from macfleet.engine.lock import Holder
from macfleet.engine.script import Fragment, bundle
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.resource import Action, Probe, Put, Run, Stream, compare
from macfleet.model.shell import quote
from macfleet.testing import LocalTransport

HOLDER = Holder("run-1", "ops@desk", "2026-01-01T00:00:00Z")


@dataclass(frozen=True)
class Note:
    """A resource of the test: a file in HOME with a text."""

    name: str
    text: str
    needs: tuple[str, ...] = ()
    extra_step: str = ""
    kind: str = "note"

    @property
    def address(self) -> str:
        return f"note.{self.name}"

    def probe(self):
        def parse(output):
            if output.exit == 9:
                return None
            if output.exit:
                raise ValueError("cannot read the note")
            return {"text": output.stdout}

        return Probe(f'[ -f "$HOME/{self.name}" ] || exit 9; cat "$HOME/{self.name}"', parse, 3)

    def desired(self):
        return {"text": self.text}

    def change(self, actual):
        return compare(self.address, self.desired(), actual)

    def steps(self, change):
        return (Run(f'printf %s {quote(self.text)} >"$HOME/{self.name}"; {self.extra_step}'),)


class NoSources:
    def open(self, source):
        yield source.encode()


@pytest.fixture
def nonce():
    counter = itertools.count()
    return lambda: f"n{next(counter)}"


@pytest.fixture
def node(tmp_path):
    return LocalTransport(tmp_path)


def converge(resources, transport, nonce, plan=None, holder=HOLDER):
    if plan is None:
        plan = make_plan("n", resources, observe("n", resources, transport, nonce=nonce))
    return apply_plan(plan, resources, transport, sources=NoSources(), holder=holder, nonce=nonce)


def test_an_unchanged_node_costs_one_exec(node, nonce):
    resources = [Note("a", "1"), Note("b", "2")]
    converge(resources, node, nonce)
    node.scripts.clear()
    plan = make_plan("n", resources, observe("n", resources, node, nonce=nonce))
    assert plan.pending == ()
    assert len(node.scripts) == 1


def test_without_the_answers_of_the_plan_a_look_under_the_lock_costs_one_exec_and_each_level_one(node, nonce):
    resources = [Note("a", "1"), Note("b", "2", needs=("note.a",)), Note("c", "3", needs=("note.a",))]
    applied = converge(resources, node, nonce)
    assert applied.changed == ("note.a", "note.b", "note.c")
    assert len(node.scripts) == 1 + 1 + 2
    assert not (node.home / ".macfleet/lock").exists()


def test_a_second_apply_changes_nothing(node, nonce):
    resources = [Note("a", 'it\'s 100 % "quoted" $HOME `x`\n')]
    converge(resources, node, nonce)
    assert converge(resources, node, nonce).changed == ()


def test_a_change_that_no_applied_change_explains_stops_the_run(node, nonce):
    resources = [Note("a", "1"), Note("b", "2")]
    plan = make_plan("n", resources, observe("n", resources, node, nonce=nonce))
    (node.home / "b").write_text("somebody else")
    with pytest.raises(MacfleetError) as caught:
        converge(resources, node, nonce, plan)
    assert [d.code for d in caught.value.diagnostics] == ["E0511"]
    assert not (node.home / "a").exists()
    assert not (node.home / ".macfleet/lock").exists()


@dataclass
class Meddled:
    """A node on which somebody else does something before the n-th script."""

    inner: LocalTransport
    turn: int
    meddle: Callable[[], object]

    def run(self, script, **given):
        self.turn -= 1
        if self.turn == 0:
            self.meddle()
        return self.inner.run(script, **given)


def test_what_somebody_changes_between_two_levels_stops_the_run_and_shows_both(node, nonce):
    resources = [Note("a", "1"), Note("b", "2"), Note("c", "3", needs=("note.a",)), Note("d", "4")]
    (node.home / "b").write_text("2")
    (node.home / "d").write_text("4")
    plan = make_plan("n", resources, observe("n", resources, node, nonce=nonce))
    assert plan.levels == (("note.a", "note.b", "note.d"), ("note.c",))

    def meddle():
        (node.home / "b").write_text("other")
        (node.home / "d").unlink()

    with pytest.raises(MacfleetError) as caught:
        converge(resources, Meddled(node, 2, meddle), nonce, plan)
    found = {d.address: d for d in caught.value.diagnostics}
    assert {address: d.code for address, d in found.items()} == {"note.b": "E0511", "note.d": "E0511"}
    assert "Planned: no change. Found now: update text other → 2." in found["note.b"].why
    assert "Planned: no change. Found now: create text – → 4." in found["note.d"].why
    assert ((node.home / "a").exists(), (node.home / "c").exists()) == (True, False)
    assert (node.home / "b").read_text() == "other"
    assert not (node.home / ".macfleet/lock").exists()


def test_a_planned_change_that_somebody_else_made_stops_the_run_too(node, nonce):
    resources = [Note("a", "1"), Note("b", "2", needs=("note.a",))]
    plan = make_plan("n", resources, observe("n", resources, node, nonce=nonce))
    (node.home / "a").write_text("1")
    with pytest.raises(MacfleetError) as caught:
        converge(resources, node, nonce, plan)
    (found,) = caught.value.diagnostics
    assert (found.code, found.address) == ("E0511", "note.a")
    assert "Planned: create text – → 1. Found now: no change." in found.why


def test_what_somebody_undoes_before_the_last_look_did_not_converge(node, nonce):
    resources = [Note("a", "1"), Note("b", "2", needs=("note.a",))]
    undo = Meddled(node, 3, lambda: (node.home / "a").write_text("undone"))
    with pytest.raises(MacfleetError) as caught:
        converge(
            resources, undo, nonce, make_plan("n", resources, observe("n", resources, node, nonce=nonce))
        )
    assert [(d.code, d.address) for d in caught.value.diagnostics] == [("E0513", "note.a")]
    assert "update text undone → 1" in caught.value.diagnostics[0].why


def test_a_difference_that_an_applied_change_explains_is_followed(node, nonce):
    resources = [Note("a", "1", extra_step='rm -f "$HOME/b"'), Note("b", "2", needs=("note.a",))]
    (node.home / "b").write_text("2")
    assert converge(resources, node, nonce).changed == ("note.a", "note.b")
    assert (node.home / "b").read_text() == "2"


def test_steps_that_do_not_lead_to_the_desired_state_are_an_error(node, nonce):
    resources = [Note("a", "1", extra_step='printf wrong >"$HOME/a"')]
    with pytest.raises(MacfleetError) as caught:
        converge(resources, node, nonce)
    assert caught.value.diagnostics[0].code == "E0513"
    assert "the node still differs: update text wrong → 1." in caught.value.diagnostics[0].why
    assert caught.value.exit_code is ExitCode.NODE_FAILED


def test_a_failed_step_stops_later_steps_and_releases_the_lock(node, nonce):
    resources = [Note("a", "1", extra_step="echo no space >&2; exit 28"), Note("b", "2")]
    with pytest.raises(MacfleetError) as caught:
        converge(resources, node, nonce)
    assert caught.value.diagnostics[0].code == "E0512"
    assert "no space" in caught.value.diagnostics[0].why
    assert not (node.home / "b").exists()
    assert not (node.home / ".macfleet/lock").exists()


def test_a_locked_node_is_left_alone_and_the_holder_is_named(node, nonce):
    resources = [Note("a", "1")]
    lock = node.home / ".macfleet/lock"
    lock.mkdir(parents=True)
    (lock / "holder").write_text(replace(HOLDER, run="other-run").text())
    with pytest.raises(MacfleetError) as caught:
        converge(resources, node, nonce)
    assert caught.value.exit_code is ExitCode.LOCKED
    assert "other-run" in caught.value.diagnostics[0].summary
    assert lock.exists()
    assert not (node.home / "a").exists()


def test_a_resumed_run_takes_its_own_lock_over(node, nonce):
    lock = node.home / ".macfleet/lock"
    lock.mkdir(parents=True)
    (lock / "holder").write_text(HOLDER.text())
    assert converge([Note("a", "1")], node, nonce).changed == ("note.a",)
    assert not lock.exists()


def test_an_answer_that_is_not_understood_is_an_error_and_not_absence(node, nonce):
    (node.home / "a").mkdir()
    broken = [Note("a", "1")]
    (node.home / "a").rmdir()
    (node.home / "a").write_text("x")
    observe("n", broken, node, nonce=nonce)
    unreadable = Probe("echo who knows; exit 3", Note("a", "1").probe().parse)
    with pytest.raises(MacfleetError) as caught:
        observe("n", [], node, nonce=nonce, extra={"facts": unreadable})
    assert "who knows" in caught.value.diagnostics[0].why


@pytest.mark.parametrize(
    ("script", "summary", "mend"),
    [
        ("echo who knows", "the answer of facts is not understood", "Run with -v and report"),
        ("echo nobody >&2; exit 1", "the probe of facts failed", "Mend the cause on the node"),
        ("echo sudo: a password is required >&2; exit 1", "the probe of facts failed", "sudo visudo"),
    ],
)
def test_a_probe_that_fails_says_what_can_be_done_about_it(script, summary, mend, node, nonce):
    def nothing_known(output):
        raise ValueError(output.stderr)

    with pytest.raises(MacfleetError) as caught:
        observe("n", [], node, nonce=nonce, extra={"facts": Probe(script, nothing_known)})
    (found,) = caught.value.diagnostics
    assert summary in found.summary
    assert mend in found.mend


SHELLS = [shell for shell in ("dash", "zsh", "bash", "sh") if shutil.which(shell)]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("text", "exit_status", "stdout"),
    [
        ("echo one", 0, "one\n"),
        ("exit 7", 7, ""),
        ("cat; echo read", 0, "read\n"),
        ("set -e; false; echo never", 1, ""),
        ("printf 'no newline'", 0, "no newline"),
        ("printf '\\n--other end\\n'", 0, "\n--other end\n"),
        ("echo $undefined; for w in $(echo a b); do echo $w; done", 0, "\na\nb\n"),
        ("if then fi (", 2, ""),
    ],
)
def test_fragments_do_not_disturb_their_neighbours(tmp_path, shell, text, exit_status, stdout):
    fragments = [Fragment("x", text, 5), Fragment("after", "echo fine", 5)]
    transport = LocalTransport(tmp_path, (shell, "--emulate", "sh") if shell == "zsh" else (shell,))
    done = transport.run(bundle(fragments, nonce="abc"), deadline=20)
    outputs = unbundle(fragments, done.stdout.decode(), nonce="abc")
    assert (outputs["x"].exit != 0) == (exit_status != 0)
    assert outputs["x"].stdout == stdout
    assert outputs["after"].stdout == "fine\n"


def test_a_hung_fragment_is_cut_with_its_children_and_the_rest_goes_on(tmp_path):
    fragments = [
        Fragment("hung", "sh -c 'sleep 987 & sleep 986'; echo late", 1),
        Fragment("after", "echo fine", 5),
    ]
    done = LocalTransport(tmp_path).run(bundle(fragments, nonce="abc"), deadline=30)
    outputs = unbundle(fragments, done.stdout.decode(), nonce="abc")
    assert outputs["hung"].cut
    assert outputs["after"].stdout == "fine\n"


@pytest.mark.parametrize("content", [b"plain\n", b"it's\n", b"\x00\x01\xff", "ü\n".encode(), b""])
def test_put_writes_the_exact_bytes_and_mode(tmp_path, content):
    from macfleet.engine.steps import step_text

    target = tmp_path / "a 'b"
    text = step_text(Put(str(target), content, mode="0640")).replace("/usr/bin/base64 -D", "base64 -d")
    LocalTransport(tmp_path).run(text, deadline=10)
    assert target.read_bytes() == content
    assert target.stat().st_mode & 0o777 == 0o640


def test_streams_feed_bytes_to_their_script(node, nonce):
    @dataclass(frozen=True)
    class Streamed(Note):
        def steps(self, change):
            return (Stream("payload", f'cat >"$HOME/{self.name}"'),)

    converge([Streamed("a", "payload")], node, nonce)
    assert (node.home / "a").read_text() == "payload"


def test_equal_plans_have_equal_digests_and_noop_plans_are_empty(node, nonce):
    resources = [Note("a", "1")]
    plans = [make_plan("n", resources, observe("n", resources, node, nonce=nonce)) for _ in range(2)]
    assert plans[0].digest == plans[1].digest
    assert plans[0].pending[0].action is Action.CREATE
