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
        with ThreadPoolExecutor(max_workers=max(1, min(self.forks, len(items)))) as pool:
            futures = {item: pool.submit(work, item) for item in items}
            try:
                return {item: _outcome(future.result) for item, future in futures.items()}
            except KeyboardInterrupt:
                # Waiting for the running ones is left to their own deadlines; nothing new starts.
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _outcome(result: Callable[[], Answer]) -> Answer | Exception:
    try:
        return result()
    except Exception as error:  # noqa: BLE001 (handed to the caller as a value)
        return error
