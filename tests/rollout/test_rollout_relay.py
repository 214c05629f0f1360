"""Who brings a part to a site and who fetches it there, over transports that answer what a test says."""

import itertools
import threading
from dataclasses import dataclass, field

import pytest

from macfleet.executors.threads import ThreadExecutor
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.node import Endpoint, Node
from macfleet.model.ports import Completed, Part
from macfleet.resources.part_relay import LIFE, NO_IMAGE
from macfleet.rollout.relay import SMALLEST, SiteRelay
from macfleet.testing import FakeClock, RecordingEvents

LARGE = Part("sha256-" + "a" * 64, SMALLEST, "a" * 64, lambda _: [])
OTHER = Part("sha256-" + "b" * 64, SMALLEST, "b" * 64, lambda _: [])
SMALL = Part("frame-" + "c" * 64, SMALLEST - 1, "c" * 64, lambda _: [])


def mac(number, site="par", **values):
    settings = {
        "delivery": "push",
        "relay": True,
        "variables": {"loadgen_image": "registry.example/python:1"},
    }
    return Node(f"mac-{number}", Endpoint(f"10.0.0.{number}"), site=site, **{**settings, **values})


@dataclass
class Answering:
    """A `Transports` whose scripts are kept by node; serving answers what `serving` says."""

    serving: Completed = field(default_factory=lambda: Completed(0, b"port 4000\n", b""))
    ran: list = field(default_factory=list)
    ending: int = 0

    def to(self, node):
        return _To(self, node.name)

    def close(self):
        pass

    def verbs(self):
        return [(node, verb_of(script)) for node, script in self.ran]


@dataclass
class _To:
    all: Answering
    node: str

    def run(self, script, *, deadline, stdin=None, sink=None):
        self.all.ran.append((self.node, script))
        verb = verb_of(script)
        return {"serve": self.all.serving, "end": Completed(self.all.ending, b"", b"")}.get(
            verb, Completed(0, b"", b"")
        )


def verb_of(script):
    return "serve" if "docker run" in script else "keep" if "ln -f" in script else "end"


@dataclass
class Line:
    relay: SiteRelay
    transports: Answering
    events: RecordingEvents
    clock: FakeClock

    def brings(self, node, part=LARGE):
        """The node gets a part as `bring` does; returns where from, empty for the controller."""
        courier = self.relay.courier(node, self.events)
        with courier.turn(part) as offer:
            courier.brought(part, "/blobs", 0 if offer else part.size, offer)
        return offer.node if offer else ""

    def words(self):
        return [event.data["words"] for event in self.events.seen if event.kind == "relay.failed"]


@pytest.fixture
def line():
    transports, clock = Answering(), FakeClock()
    numbers = itertools.count(1)
    relay = SiteRelay(transports, clock, lambda: f"m{next(numbers)}", lambda _: None)
    return Line(relay, transports, RecordingEvents(), clock)


def test_the_first_of_a_site_gets_a_part_from_here_and_the_others_from_it(line):
    assert [line.brings(mac(number)) for number in (1, 2, 3)] == ["", "mac-1", "mac-1"]
    assert line.transports.verbs() == [("mac-1", "keep"), ("mac-1", "serve")]
    sent = [(event.node, event.data["sent"]) for event in line.events.seen if event.kind == "part.brought"]
    assert sent == [("mac-1", SMALLEST), ("mac-2", 0), ("mac-3", 0)]


def test_an_offer_names_the_address_on_the_site_and_a_token_that_is_not_shown(line):
    line.brings(mac(1, site_address="fd00::1"))
    with line.relay.courier(mac(2), line.events).turn(LARGE) as offer:
        assert offer.url == f"http://[fd00::1]:4000/{LARGE.name}"
        assert offer.token.reveal() not in repr(offer)
        assert all(offer.token.reveal() not in script for _, script in line.transports.ran)


@pytest.mark.parametrize(
    "other",
    [mac(2, site="lon"), mac(2, site=""), mac(2, relay=False), mac(2, delivery="pull")],
    ids=["another site", "no site", "not told to", "pulls"],
)
def test_nodes_of_no_common_site_get_parts_from_here(line, other):
    assert [line.brings(mac(1)), line.brings(other)] == ["", ""]


def test_what_is_small_comes_from_here_and_is_not_kept(line):
    assert [line.brings(mac(1), SMALL), line.brings(mac(2), SMALL)] == ["", ""]
    assert line.transports.ran == []


def test_a_second_node_waits_for_the_first_to_bring_the_part(line):
    begun, sources = threading.Event(), []
    first = line.relay.courier(mac(1), line.events)

    def second():
        begun.set()
        sources.append(line.brings(mac(2)))

    with first.turn(LARGE) as offer:
        assert offer is None
        waiting = threading.Thread(target=second)
        waiting.start()
        assert begun.wait(60)
        assert sources == []
        first.brought(LARGE, "/blobs", LARGE.size, None)
    waiting.join(60)
    assert sources == ["mac-1"]


def test_when_the_first_one_fails_the_next_brings_the_part(line):
    with pytest.raises(OSError, match="gone"), line.relay.courier(mac(1), line.events).turn(LARGE):
        raise OSError("gone")
    assert [line.brings(mac(2)), line.brings(mac(3))] == ["", "mac-2"]


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (Completed(NO_IMAGE, b"", b""), "registry.example/python:1 is not on it"),
        (Completed(125, b"", b"port is already allocated"), "port is already allocated"),
        (Completed(0, b"", b""), "said nothing"),
    ],
)
def test_a_node_that_cannot_serve_is_said_and_the_part_comes_from_here(line, answer, word):
    line.brings(mac(1))
    line.transports.serving = answer
    assert line.brings(mac(2)) == ""
    [words] = line.words()
    assert word in words
    assert "from the controller" in words


def test_a_node_that_could_not_be_reached_is_not_offered_again(line):
    line.brings(mac(1))
    line.brings(mac(1), OTHER)
    courier = line.relay.courier(mac(2), line.events)
    with courier.turn(LARGE) as offer:
        courier.refused(offer, MacfleetError(Diagnostic("E0642", "could not be fetched", why="timed out")))
    assert line.brings(mac(3), OTHER) == ""
    assert "timed out" in line.words()[0]
    # Whoever then brought it from here serves it to the next.
    assert line.brings(mac(4), OTHER) == "mac-3"


def test_a_relay_near_its_end_is_put_anew(line):
    line.brings(mac(1))
    line.brings(mac(2))
    line.clock.sleep(LIFE - 60)
    assert line.brings(mac(3)) == "mac-1"
    serves = [script for _, script in line.transports.ran if verb_of(script) == "serve"]
    assert ["docker rm --force macfleet-relay-m1 <" in script for script in serves] == [False, True]


def test_every_relay_is_removed_once_and_one_that_stays_is_said(line):
    for part, node in ((LARGE, mac(1)), (OTHER, mac(2)), (LARGE, mac(3, site="lon"))):
        line.brings(node, part)
    line.transports.ending = 1
    line.relay.close(ThreadExecutor(), line.events)
    line.relay.close(ThreadExecutor(), line.events)
    ended = sorted(node for node, verb in line.transports.verbs() if verb == "end")
    assert ended == ["mac-1", "mac-2", "mac-3"]
    assert len(line.words()) == 3
    assert "ends by itself within 60 min" in line.words()[0]


def test_one_node_of_each_site_goes_first_until_somebody_has_parts(line):
    nodes = [
        mac(1),
        mac(2),
        mac(3, site="lon"),
        mac(4, site="lon"),
        mac(5, site="alone"),
        mac(6, relay=False),
    ]
    assert [node.name for node in line.relay.heads(nodes)] == ["mac-1", "mac-3"]
    line.brings(mac(2))
    assert [node.name for node in line.relay.heads(nodes)] == ["mac-3"]


def test_a_command_that_is_to_stop_begins_with_no_further_part():
    def stop(node):
        raise MacfleetError(Diagnostic("E0572", f"{node}: interrupted"))

    relay = SiteRelay(Answering(), FakeClock(), lambda: "m", stop)
    with (
        pytest.raises(MacfleetError, match="interrupted"),
        relay.courier(mac(1), RecordingEvents()).turn(LARGE),
    ):
        pytest.fail("a part was begun")
