"""Local threads: the default executor. Never fork: that breaks on macOS controllers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class ThreadExecutor:
    """Runs work on at most `forks` items at once."""

    forks: int = 32

    def each(
        self, items: Sequence[Item], work: Callable[[Item], Answer]
    ) -> Mapping[Item, Answer | Exception]:
        """Return each item's answer or the exception that ended it, in the items' order.

        An interrupt leaves at once: nothing new starts, and what runs ends with its connection, which the
        caller closes. That is why the threads are daemons, which the end of the process does not wait for:
        one that is connecting to a node that is off would hold it up for half a minute.
        """
        left = iter(tuple(enumerate(items)))
        turn = threading.Lock()
        ended: SimpleQueue[tuple[int, Answer | Exception] | BaseException] = SimpleQueue()

        def take_turns() -> None:
            try:
                while (mine := _next(left, turn)) is not None:
                    ended.put((mine[0], _outcome(work, mine[1])))
            except BaseException as interrupt:  # noqa: BLE001 (raised where it is waited for)
                ended.put(interrupt)

        for _ in range(min(max(1, self.forks), len(items))):
            threading.Thread(target=take_turns, name="macfleet-fork", daemon=True).start()
        answers: dict[int, Answer | Exception] = {}
        try:
            while len(answers) < len(items):
                told = ended.get()
                if isinstance(told, BaseException):
                    raise told
                answers[told[0]] = told[1]
        finally:
            with turn:
                for _ in left:
                    pass
        return {item: answers[place] for place, item in enumerate(items)}


def _next(left: Iterator[tuple[int, Item]], turn: threading.Lock) -> tuple[int, Item] | None:
    with turn:
        return next(left, None)


def _outcome(work: Callable[[Item], Answer], item: Item) -> Answer | Exception:
    try:
        return work(item)
    except Exception as error:  # noqa: BLE001 (handed to the caller as a value)
        return error
