"""Takes records off the measuring loop: writing them must not delay it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar

Record = TypeVar("Record")

# A crash may lose at most one second of records; half of that leaves room for a busy machine.
FLUSH_PERIOD = 0.5


class Relay(Generic[Record]):
    """Hands records to a blocking `sink` on a thread of its own, in order.

    `tick` is called at least twice a second: it flushes, and finds out that nobody listens any more.
    Leaving the context waits for the last record and raises what the sink raised.
    """

    def __init__(self, sink: Callable[[Record], None], tick: Callable[[], None] = lambda: None) -> None:
        self._sink = sink
        self._tick = tick
        self._queue: queue.SimpleQueue[Record | None] = queue.SimpleQueue()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="macfleet-relay", daemon=True)

    def put(self, record: Record) -> None:
        """Queue one record; never blocks."""
        self._queue.put(record)

    def broken(self) -> bool:
        """Whether the sink failed, so that more records are pointless."""
        return self._failure is not None

    def raise_failure(self) -> None:
        """Raise what the sink raised; nothing where it took every record."""
        if self._failure is not None:
            raise self._failure

    def __enter__(self) -> Relay[Record]:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._queue.put(None)
        self._thread.join()
        if error is None:
            self.raise_failure()

    def _work(self) -> None:
        ticked = time.monotonic()
        try:
            while True:
                try:
                    record = self._queue.get(timeout=FLUSH_PERIOD)
                    if record is None:
                        break
                    self._sink(record)
                except queue.Empty:
                    pass
                if time.monotonic() - ticked >= FLUSH_PERIOD:
                    self._tick()
                    ticked = time.monotonic()
            self._tick()
        except BaseException as failure:  # noqa: BLE001  (handed to the thread that waits)
            self._failure = failure
