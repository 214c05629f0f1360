"""One request's answer as it comes off the wire, and what its end means."""

from __future__ import annotations

from macfleet.loadgen.answer import DETAIL_LIMIT, Answer
from macfleet.loadgen.sse import EventTooLarge, SseParser
from macfleet.loadgen.stencil import Stencil, learnt
from macfleet.loadgen.wire import Ending, Exchange
from macfleet.model.load import RequestOutcome

EVENT_STREAM = "text/event-stream"
_WHOLE_LIMIT = 64 * 2**20
# To learn costs as much as to parse a few events: so often in a row without having been worth it.
_LEARNINGS, _WORTH = 3, 8


class Streamed:
    """An exchange whose body is read as events, or as one document where the server sends one.

    Attributes:
        streams: whether the request asked for a stream; learns: whether events like one that was understood
            need not be parsed.
        exchange: the wire's side; answer: the meaning.
    """

    __slots__ = (
        "_events",
        "_learnings",
        "_learnt_at",
        "_parser",
        "_stencil",
        "_whole",
        "answer",
        "exchange",
        "streams",
    )

    def __init__(self, *, streams: bool, learns: bool = False) -> None:
        self.streams = streams
        self.answer = Answer()
        self.exchange = Exchange(self._take)
        self._parser = SseParser()
        self._whole = bytearray()
        self._events: bool | None = None
        self._stencil: Stencil | None = None
        self._learnings = _LEARNINGS if learns else 0
        self._learnt_at = 0

    @property
    def is_events(self) -> bool:
        """Whether the body is an event stream; a server that names no type is taken by the request."""
        kind = self.exchange.content_type
        return kind == EVENT_STREAM or (self.streams and kind != "application/json")

    def settle(self) -> None:
        """Take what only the end of the body makes readable."""
        if self.exchange.status == 200 and not self.is_events and self._whole:
            self.answer.whole(bytes(self._whole), self.exchange.closed or 0)
        elif self._parser.remainder() == b"[DONE]":
            # Some servers close right after the last line; the format discards that event, its meaning
            # is not in doubt.
            self.answer.done = True

    def excerpt(self) -> str:
        """Return the begin of a body that is not an event stream, for a diagnostic; untrusted."""
        return bytes(self._whole[: 4 * DETAIL_LIMIT]).decode("utf-8", "replace")[:DETAIL_LIMIT]

    def body(self) -> bytes:
        """Return the body when it was not an event stream."""
        return bytes(self._whole)

    def _take(self, body: bytes, stamp: int) -> None:
        if self._events is None:
            # The head stands before the first byte of the body: asked once, not for each event.
            self._events = self.exchange.status == 200 and self.is_events
        if not self._events:
            if len(self._whole) < _WHOLE_LIMIT:
                self._whole += body
            return
        known = self.exchange.stencil
        if known is None or not known.body(body, len(body), stamp):
            self._parse(body, stamp)

    def _parse(self, body: bytes, stamp: int) -> None:
        answer, parser = self.answer, self._parser
        between, texts = parser.between, len(answer.generations)
        try:
            for name, data in parser.feed(body):
                answer.event(name, data, stamp)
        except EventTooLarge as error:
            answer.malformed = answer.malformed or str(error)
            self._parser = parser = SseParser()
        going = parser.between and not (answer.done or answer.finished)
        if self._learnings and going and between and len(answer.generations) == texts + 1:
            self._learn(body)
        self.exchange.stencil = self._stencil if going else None

    def _learn(self, event: bytes) -> None:
        """Learn from an event that nothing learnt before fitted; give up where that happens too often."""
        texts = len(self.answer.generations)
        if texts - self._learnt_at >= _WORTH:
            self._learnings = _LEARNINGS
        self._learnings -= 1
        self._learnt_at = texts
        self._stencil = learnt(event, self.answer.again)


_WIRE_OUTCOMES = {
    Ending.STALLED: RequestOutcome.STALL_TIMEOUT,
    Ending.BROKEN: RequestOutcome.BAD_RESPONSE,
}


def outcome_of(streamed: Streamed) -> tuple[str, str]:
    """Return how an ended exchange is counted, and the detail of it.

    A status of 200 alone proves nothing: an error object inside it, no generated text, or an end before
    the answer said it was finished are failures.
    """
    exchange = streamed.exchange
    streamed.settle()
    if exchange.ending in _WIRE_OUTCOMES:
        return _WIRE_OUTCOMES[exchange.ending], exchange.detail
    if exchange.status not in {0, 200}:
        return f"http_{exchange.status}", streamed.excerpt()
    answer = streamed.answer
    if answer.error is not None:
        return RequestOutcome.SSE_ERROR, answer.error
    if exchange.ending is Ending.RESET:
        return RequestOutcome.RESET, exchange.detail
    if answer.malformed is not None:
        return RequestOutcome.BAD_RESPONSE, answer.malformed
    return _meaning(streamed)


def _meaning(streamed: Streamed) -> tuple[str, str]:
    exchange, answer = streamed.exchange, streamed.answer
    if exchange.ending is Ending.CUT and not answer.done:
        return RequestOutcome.TRUNCATED, exchange.detail
    if streamed.streams and not streamed.is_events and exchange.body_bytes:
        return RequestOutcome.BAD_RESPONSE, "a stream was asked for, a whole document came"
    if answer.first_gen is None:
        ended = answer.done or answer.finished or not exchange.body_bytes
        detail = "nothing was generated" if ended else "ended before anything was generated"
        return RequestOutcome.EMPTY_200, detail
    if not answer.done and not answer.finished:
        return RequestOutcome.TRUNCATED, "ended without [DONE] and without a finish reason"
    return RequestOutcome.OK, ""
