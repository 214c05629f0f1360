"""Fakes for tests of macfleet and of what is built on it; shipped and documented."""

from macfleet.testing.clock import FakeClock
from macfleet.testing.transport import LocalTransport, LocalTransports

__all__ = ["FakeClock", "LocalTransport", "LocalTransports"]
