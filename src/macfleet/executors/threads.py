"""Local threads: the default executor. Never fork: that breaks on macOS controllers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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
        """Return each item's answer or the exception that ended it, in the items' order."""
        if not items:
            return {}
        pool = ThreadPoolExecutor(max_workers=max(1, min(self.forks, len(items))))
        try:
            futures = {item: pool.submit(work, item) for item in items}
            return {item: _outcome(future.result) for item, future in futures.items()}
        except KeyboardInterrupt:
            # Nothing new starts; what runs ends when its connection is closed on the way out.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            pool.shutdown(wait=False)


def _outcome(result: Callable[[], Answer]) -> Answer | Exception:
    try:
        return result()
    except Exception as error:  # noqa: BLE001 (handed to the caller as a value)
        return error
