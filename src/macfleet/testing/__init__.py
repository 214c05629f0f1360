"""Fakes for tests of macfleet and of what is built on it; shipped and documented."""

from macfleet.testing.clock import FakeClock, PatientClock
from macfleet.testing.events import RecordingEvents
from macfleet.testing.gateway import FakeGateway
from macfleet.testing.golden import golden
from macfleet.testing.mac import FakeMac, FakeMacs
from macfleet.testing.node_half import FakeHalf
from macfleet.testing.resolver import FakeResolver
from macfleet.testing.runs import FakeRun, FakeRuns
from macfleet.testing.state import FakeEvidences, FakeJournal
from macfleet.testing.transport import LocalTransport, LocalTransports

__all__ = [
    "FakeClock",
    "FakeEvidences",
    "FakeGateway",
    "FakeHalf",
    "FakeJournal",
    "FakeMac",
    "FakeMacs",
    "FakeResolver",
    "FakeRun",
    "FakeRuns",
    "LocalTransport",
    "LocalTransports",
    "PatientClock",
    "RecordingEvents",
    "golden",
]
