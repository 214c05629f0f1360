import pytest

from macfleet.rollout.journalled import NodeStory, stories


def entry(kind, address="", node="mac-01", **detail):
    return (node, kind, {**({"address": address} if address else {}), **detail})


SENT_BOTH = [entry("change.sent", "file.a"), entry("change.sent", "command.b", job="run-1-0a")]


@pytest.mark.parametrize(
    ("entries", "story"),
    [
        ([], NodeStory("mac-01")),
        (SENT_BOTH, NodeStory("mac-01", flying={"file.a": "", "command.b": "run-1-0a"})),
        (
            [*SENT_BOTH, entry("change.done", "file.a")],
            NodeStory("mac-01", done=("file.a",), flying={"command.b": "run-1-0a"}),
        ),
        (
            [*SENT_BOTH, entry("change.failed", "file.a"), entry("node.settled", outcome="failed")],
            NodeStory("mac-01", "failed", failed=("file.a",), flying={"command.b": "run-1-0a"}),
        ),
        (
            [
                *SENT_BOTH,
                entry("change.failed", "file.a"),
                entry("change.sent", "file.a"),
                entry("change.done", "file.a"),
            ],
            NodeStory("mac-01", done=("file.a",), flying={"command.b": "run-1-0a"}),
        ),
        (
            [*SENT_BOTH, entry("change.withheld", "file.a"), entry("node.settled", outcome="locked")],
            NodeStory("mac-01", "locked", flying={"command.b": "run-1-0a"}),
        ),
        ([*SENT_BOTH, entry("node.settled", outcome="ok")], NodeStory("mac-01", "ok")),
        (
            [entry("run.begun", node=""), entry("change.sent", "file.x", node="elsewhere")],
            NodeStory("mac-01"),
        ),
    ],
    ids=[
        "nothing",
        "sent",
        "one done",
        "one failed",
        "tried again",
        "withheld",
        "ended well",
        "not of this run",
    ],
)
def test_a_journal_tells_what_was_done_and_what_was_in_the_air(entries, story):
    assert stories(["mac-01"], entries) == (story,)


def test_nodes_come_in_the_runs_order_each_with_its_own():
    told = stories(["b", "a"], [entry("change.sent", "file.a", node="a")])
    assert [(story.node, dict(story.flying)) for story in told] == [("b", {}), ("a", {"file.a": ""})]
