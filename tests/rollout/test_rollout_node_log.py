"""Each node's log: what happened, every script with its purpose, and no secret in it."""

import contextlib
import re

import pytest

from macfleet.model.diagnostic import Diagnostic, NodeUnreachable
from macfleet.model.event import Event
from macfleet.model.ports import Completed
from macfleet.model.secret import Secret
from macfleet.model.stage import StageName
from macfleet.rollout.node_log import LINES, LoggedTransports, NodeLogs, log_path
from macfleet.testing import FakeClock, FakeRuns
from macfleet.views.redaction import Redactor

CONTRACT = StageName.CONTRACT


@pytest.fixture
def logged(fleet):
    """Two nodes whose scripts are noted."""
    ports = fleet.ports

    def with_logs():
        from dataclasses import replace

        logs = NodeLogs()
        made = ports()
        return replace(made, logs=logs, transports=LoggedTransports(made.transports, logs, made.clock))

    fleet.ports = with_logs
    return fleet


def log_of(fleet, result, name="mac-01"):
    return fleet.runs.opened[result.run].files[log_path(name)]


def heads(log):
    return [line.split("  ", 1)[1] for line in log.splitlines() if not line.startswith("    ")]


def test_a_log_tells_in_order_what_happened_and_what_ran(logged):
    log = log_of(logged, logged.rollout(CONTRACT))
    told = [re.split(r"  | · ", head)[:2] for head in heads(log)]
    kinds = [kind for kind, *_ in told]
    assert kinds.index("script") < kinds.index("node.planned") < kinds.index("change.started")
    assert kinds.index("change.done") < kinds.index("gate.judged") < kinds.index("node.settled")
    purposes = [purpose for kind, purpose in told if kind == "script"]
    assert re.fullmatch(r"\d+ probes", purposes[0])  # what planning read before there was a run
    assert any(re.fullmatch(r"command\.contract, \d+ probes", purpose) for purpose in purposes)
    assert all(re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z  ", line) for line in log.splitlines() if line[0] != " ")
    assert " · exit 0" in log


def test_each_node_has_a_log_of_its_own(logged):
    result = logged.rollout(CONTRACT)
    assert "mac-02" not in log_of(logged, result)
    assert log_of(logged, result, "mac-02").count("node.settled") == 1


def test_a_run_without_work_leaves_no_log_and_the_next_one_does_not_tell_of_it(logged):
    logged.rollout(CONTRACT)
    assert logged.rollout(CONTRACT).run == ""
    again = log_of(logged, logged.rollout(CONTRACT, again=True))
    assert again.count("node.planned") == 1


def test_an_unreachable_nodes_log_says_so(logged):
    logged.macs.mac("mac-01").reachable = False
    log = log_of(logged, logged.rollout(CONTRACT))
    assert "no answer" in log
    assert [head.split("  ")[0] for head in heads(log)] == [
        "script",
        "node.unplanned",
        "node.settled",
        "problem",
    ]
    assert heads(log)[-1].split() == ["problem", "E0401", "no", "answer"]


class Answering:
    """A transport that answers the same to everything."""

    def __init__(self, answer):
        self.answer = answer

    def to(self, node):
        return self

    def run(self, script, *, deadline, stdin=None, sink=None):
        if isinstance(self.answer, Exception):
            raise self.answer
        if sink is not None:
            for at in range(0, len(self.answer), 7):
                sink(self.answer[at : at + 7])
            return Completed(0, b"", b"")
        return Completed(3, self.answer, b"complained\n")


def ran(answer, redact=str, sink=None):
    """What one script leaves in the log."""
    clock, runs = FakeClock(), FakeRuns()
    logs = NodeLogs(redact)
    logs.begin(clock)
    writer = runs.create("r")
    logs.attach(writer)
    node = type("N", (), {"name": "mac-01"})()
    transport = LoggedTransports(Answering(answer), logs, clock).to(node)
    with contextlib.suppress(NodeUnreachable):
        transport.run("uptime", deadline=1.0, sink=sink)
    return writer.files[log_path("mac-01")]


def test_the_end_of_what_a_script_printed_is_kept():
    printed = "".join(f"line {at}\n" for at in range(100)).encode()
    log = ran(printed)
    assert "a script of 6 bytes · 0.00 s · exit 3" in log
    assert f"out| … {100 - LINES} lines before" in log
    assert "out| line 99" in log
    assert "out| line 10\n" not in log
    assert "err| complained" in log


def test_what_is_handed_on_piece_by_piece_is_noted_and_still_handed_on():
    heard = []
    log = ran(b"first\n" + b"x" * 300_000 + b"\nlast\n", sink=heard.append)
    assert b"".join(heard).endswith(b"last\n")
    assert len(b"".join(heard)) == 300_012
    assert "out| last" in log
    assert "xxx" not in log


@pytest.mark.parametrize("sink", [None, [].append])
def test_a_secret_is_taken_out_before_anything_is_cut(sink):
    redactor = Redactor()
    redactor.learn(Secret("hunter2-and-more"))
    log = ran(b"the password is hunter2-and-more\n" + b"y" * 500 + b"hunter2-and-more\n", redactor.text, sink)
    assert "hunter2" not in log
    assert "out| the password is ***" in log


def test_a_broken_connection_is_noted_with_its_reason():
    assert "gone away" in ran(NodeUnreachable(Diagnostic("E0402", "gone away")))


def test_nothing_is_noted_before_a_run_begins():
    logs = NodeLogs()
    logs.emit(Event("node.planned", "mac-01", {}))
    writer = FakeRuns().create("r")
    logs.attach(writer)
    assert writer.files == {}


def test_the_slowest_changes_are_known_the_longest_first():
    logs = NodeLogs()
    logs.begin(FakeClock())
    for node, address, seconds in (
        ("b", "x.1", 2.0),
        ("a", "x.2", 2.0),
        ("a", "x.1", 5.0),
        ("a", "x.3", 1.0),
    ):
        logs.emit(Event("change.done", node, {"address": address, "seconds": seconds}))
    logs.emit(Event("change.failed", "c", {"address": "x.9"}))  # its first step was never seen
    assert [(each.node, each.address) for each in logs.slowest(3)] == [
        ("a", "x.1"),
        ("a", "x.2"),
        ("b", "x.1"),
    ]


def test_a_result_says_what_took_longest(logged):
    result = logged.rollout(CONTRACT)
    assert {(each.node, each.address) for each in result.slowest} == {
        ("mac-01", "command.contract"),
        ("mac-02", "command.contract"),
    }


def test_a_failed_nodes_log_ends_with_what_went_wrong_and_why(logged):
    logged.use(
        CONTRACT,
        more='    - name: broken\n      command: {run: "echo because >&2; exit 3", unless: "false"}\n',
    )
    log = log_of(logged, logged.rollout(CONTRACT))
    assert (
        "problem  E0512 command.broken a step of command.broken failed\n    exit status 3: because\n" in log
    )


class Appending:
    """A run's folder that notes each time something is appended."""

    def __init__(self):
        self.appended = []

    def append(self, path, text):
        self.appended.append((path, [line.split("  ", 1)[1] for line in text.splitlines()]))


def test_what_became_known_together_is_appended_in_one_piece_and_other_nodes_as_it_comes():
    logs, writer = NodeLogs(), Appending()
    logs.begin(FakeClock())
    logs.attach(writer)
    with pytest.raises(KeyboardInterrupt), logs.together("mac-01"):  # noqa: PT012  (what it leaves is the point)
        logs.emit(Event("change.started", "mac-01", {"address": "file./a"}))
        logs.emit(Event("change.started", "mac-02", {"address": "file./a"}))
        logs.emit(Event("change.done", "mac-01", {"address": "file./a", "seconds": 1.0}))
        raise KeyboardInterrupt
    with logs.together("mac-01"):
        pass
    logs.emit(Event("node.settled", "mac-01", {"outcome": "changed"}))
    assert writer.appended == [
        (log_path("mac-02"), ["change.started  address file./a"]),
        (
            log_path("mac-01"),
            ["change.started  address file./a", "change.done  address file./a, seconds 1.0"],
        ),
        (log_path("mac-01"), ["node.settled  outcome changed"]),
    ]
