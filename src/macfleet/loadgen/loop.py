"""An event loop that reads what arrives before it asks who else is ready: fewer steps for each event."""

from __future__ import annotations

import asyncio
import select
import selectors
import socket
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

Result = TypeVar("Result")


class Took(Enum):
    """What reading a socket that is readable led to."""

    NOTHING = "asyncio must read it itself: the stream has ended"
    BYTES = "bytes were read; a task may have been woken by them"
    KNOWN = "bytes were read, and nobody was woken"


Read = Callable[[], Took]


def run(main: Coroutine[None, None, Result]) -> Result:
    """Run a coroutine as `asyncio.run` does, on the loop with the fewest steps that this system has."""
    if not hasattr(select, "epoll"):
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=ReadFirstLoop) as runner:
        return runner.run(main)


class ReadFirstLoop(asyncio.SelectorEventLoop):
    """asyncio's loop, in which a socket may be read by its connection itself."""

    def __init__(self) -> None:
        self._waiting = ReadFirst()
        super().__init__(self._waiting)

    def read_first(self, watched: socket.socket, read: Read) -> None:
        """Call `read` when a socket that a transport watches is readable, until it watches it no longer."""
        self._waiting.read_first(watched, read)


class ReadFirst(selectors.BaseSelector):
    """A selector of epoll that has some sockets read at once.

    What asyncio does about a readable socket costs several times what reading it does: it looks its key up,
    makes the transport's callback ready, runs it in its context, and looks at its timers before and after.
    Where nobody is woken by what was read, all of that is left out.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._keys: dict[FileDescriptorLike, selectors.SelectorKey] = {}
        self._reads: dict[int, Read] = {}

    def read_first(self, watched: FileDescriptorLike, read: Read) -> None:
        """Call `read` when a registered file is readable, until it is registered no longer."""
        self._reads[_descriptor(watched)] = read

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait up to `timeout` seconds, None for ever; return who is ready besides those that were read.

        Goes on waiting after reads that woke nobody.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            found = self._epoll.poll(timeout)
            ready, known = self._take(found)
            if not known:
                return ready
            if deadline is not None:
                timeout = deadline - time.monotonic()
                if timeout <= 0:
                    return ready

    def _take(self, found: Sequence[tuple[int, int]]) -> tuple[list[tuple[selectors.SelectorKey, int]], bool]:
        """Read what is to be read; return the others, and whether nobody need be asked about anything."""
        ready = []
        known = bool(found)
        for descriptor, event in found:
            read = self._reads.get(descriptor) if event == select.EPOLLIN else None
            took = Took.NOTHING if read is None else read()
            if took is Took.KNOWN:
                continue
            known = False
            if took is Took.NOTHING and (key := self._keys.get(descriptor)) is not None:
                ready.append((key, _events(event) & key.events))
        return ready, known

    def register(
        self, fileobj: FileDescriptorLike, events: int, data: object = None
    ) -> selectors.SelectorKey:
        """Watch a file (raises KeyError when it is watched)."""
        key = selectors.SelectorKey(fileobj, _descriptor(fileobj), events, data)
        if key.fd in self._keys:
            raise KeyError(f"{fileobj!r} is already registered")
        self._epoll.register(key.fd, _mask(events))
        self._keys[key.fd] = key
        # A number whose file was closed is given to the next.
        self._reads.pop(key.fd, None)
        return key

    def unregister(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        """Watch a file no longer (raises KeyError when it was not watched)."""
        key = self._keys.pop(_descriptor(fileobj))
        self._reads.pop(key.fd, None)
        with suppress(OSError):  # it was closed before, which ended the watching, too
            self._epoll.unregister(key.fd)
        return key

    def modify(self, fileobj: FileDescriptorLike, events: int, data: object = None) -> selectors.SelectorKey:
        """Watch a file for other events (raises KeyError when it was not watched)."""
        before = self._keys[_descriptor(fileobj)]
        if events != before.events:
            self._epoll.modify(before.fd, _mask(events))
        key = self._keys[before.fd] = before._replace(events=events, data=data)
        return key

    def close(self) -> None:
        """Watch nothing any more."""
        self._epoll.close()
        self._keys.clear()
        self._reads.clear()

    def get_map(self) -> Mapping[FileDescriptorLike, selectors.SelectorKey]:
        """Return what is watched by descriptor, which is all that asyncio asks for."""
        return self._keys


def _descriptor(file: FileDescriptorLike) -> int:
    return file if isinstance(file, int) else file.fileno()


def _mask(events: int) -> int:
    """Return a selector's events as epoll's."""
    reading = select.EPOLLIN if events & selectors.EVENT_READ else 0
    return reading | (select.EPOLLOUT if events & selectors.EVENT_WRITE else 0)


def _events(event: int) -> int:
    """Return epoll's events as a selector's: an error or an end wakes readers and writers alike."""
    reading = selectors.EVENT_READ if event & ~select.EPOLLOUT else 0
    return reading | (selectors.EVENT_WRITE if event & ~select.EPOLLIN else 0)
