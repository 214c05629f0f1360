"""Requests to registries with retries, deadlines and limits; knows nothing of images."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar

import httpx
import tenacity

from macfleet.model.ports import Clock
from macfleet.registry import failures
from macfleet.registry.auth import Credential
from macfleet.registry.exchange import Exchange, PassingFailure, read_limited

Answered = TypeVar("Answered")
_CHUNK = 256 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole small response; `digest_header` is what the registry claims the body's digest to be."""

    data: bytes
    content_type: str
    digest_header: str


class Wire:
    """Fetches from registries; safe to share between threads.

    Args:
        plain_http: registries (host or host:port) that are spoken to without TLS, past any proxy.
        credentials: login by registry host.
        deadline: seconds one small request may take, all its tries together.
        tries: how often a request is tried that failed for a passing reason.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        plain_http: Collection[str] = (),
        credentials: Mapping[str, Credential] | None = None,
        deadline: float = 60.0,
        tries: int = 4,
    ) -> None:
        self._exchange = Exchange(plain_http, credentials or {})
        self._deadline = deadline
        self._tries = tries
        self._clock = clock

    def fetch(self, host: str, repository: str, path: str, *, accept: str, limit: int) -> Answer:
        """Return a whole response of at most `limit` bytes.

        `path` follows ``/v2/<repository>/``, such as ``manifests/<digest>``.

        Raises:
            MacfleetError: E0602 missing, E0605 denied, E0606 unavailable, E0607 not to be used,
                E0608 a refused redirect.
        """
        end = self._clock.monotonic() + self._deadline

        def once() -> Answer:
            response = self._exchange.send(host, repository, path, {"Accept": accept})
            with closing(response):
                data = read_limited(response, limit, lambda: self._clock.monotonic() > end)
                headers = response.headers
            return Answer(data, headers.get("content-type", ""), headers.get("docker-content-digest", ""))

        try:
            return self._retried(host, end, once)
        except ValueError as error:
            raise failures.malformed(f"{host}/{repository} {path}", str(error)) from error

    def stream(self, host: str, repository: str, path: str) -> Iterator[bytes]:
        """Yield a response's bytes; one that breaks off is continued where it stopped. Raises as `fetch`."""
        received = 0
        for tries_left in range(self._tries - 1, -1, -1):
            try:
                for chunk in self._part(host, repository, path, received):
                    received += len(chunk)
                    yield chunk
            except httpx.HTTPError as error:
                if not tries_left:
                    raise failures.unavailable(host, f"it keeps breaking off ({error})") from error
            else:
                return

    def close(self) -> None:
        """Close all connections."""
        self._exchange.close()

    def _part(self, host: str, repository: str, path: str, start: int) -> Iterator[bytes]:
        headers = {"Range": f"bytes={start}-"} if start else {}
        end = self._clock.monotonic() + self._deadline
        response = self._retried(host, end, lambda: self._exchange.send(host, repository, path, headers))
        with closing(response):
            is_rest = response.status_code == httpx.codes.PARTIAL_CONTENT
            yield from _after(response.iter_raw(_CHUNK), 0 if is_rest else start)

    def _retried(self, host: str, end: float, work: Callable[[], Answered]) -> Answered:
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(PassingFailure),
            wait=_wait,
            stop=lambda state: self._is_over(state, end),
            sleep=self._clock.sleep,
            reraise=True,
        )
        try:
            return retrying(work)
        except PassingFailure as error:
            asked = f"; it asks to wait {error.after:.0f} s" if error.after else ""
            raise failures.unavailable(host, f"{error}{asked}") from error

    def _is_over(self, state: tenacity.RetryCallState, end: float) -> bool:
        return state.attempt_number >= self._tries or self._clock.monotonic() + _wait(state) > end


def _wait(state: tenacity.RetryCallState) -> float:
    """Return the seconds the registry asks for, else 0.25 s doubled each time."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.after if isinstance(error, PassingFailure) else None
    return asked if asked is not None else 0.25 * 2.0 ** (state.attempt_number - 1)


def _after(chunks: Iterable[bytes], skip: int) -> Iterator[bytes]:
    for chunk in chunks:
        if skip < len(chunk):
            yield chunk[skip:]
        skip = max(0, skip - len(chunk))
