"""What is on its way through the delay proxy arrives, however the clock falls."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from macfleet.lab.delay_link import Link

RTT = 1.0


class Loop:
    """A loop whose clock goes on with every look at it; remembers what is to be called."""

    def __init__(self, *looks: float) -> None:
        self._looks = iter(looks)
        self.calls: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return next(self._looks)

    def call_at(self, when: float, what: Callable[[], None]) -> SimpleNamespace:
        self.calls.append((when, what))
        return SimpleNamespace(cancel=lambda: None)


# Sent at 0, so due at 0.5; then every look at the clock while the lane is poured.
@pytest.mark.parametrize("looks", [(0.0, 0.4, 0.4, 0.4), (0.0, 0.4, 0.6, 0.6), (0.0, 0.4999999, 0.5, 0.5)])
def test_what_falls_due_between_two_looks_at_the_clock_is_waited_for(looks: tuple[float, ...]) -> None:
    loop = Loop(*looks)
    link = Link(SimpleNamespace(loop=loop, rtt=RTT), 22, SimpleNamespace())
    link.near.lane.push(b"first line")
    assert [when for when, _ in loop.calls] == [0.5]
