"""What the events of one answer mean: when text was generated, how many tokens, how it ended."""

from __future__ import annotations

import json
from collections.abc import Mapping

DETAIL_LIMIT = 200

# Names under which engines stream text of the model that is not its visible answer.
_REASONING = ("reasoning_content", "reasoning")
_VISIBLE = ("content", "refusal")
_DECODER = json.JSONDecoder()


class Answer:
    """One streamed or whole answer while it arrives.

    Attributes:
        first_event, first_gen, first_visible, last_gen: monotonic nanoseconds, None until reached.
        generations: moments at which generated text arrived, one for each event that carried any.
        done: ``[DONE]`` was seen; finished: a choice gave its finish reason.
        error: text of an error object inside a 200; malformed: why an event could not be read.
        completion_tokens, prompt_tokens, cached_tokens: as the engine's usage says, None without one.
        disorder: what of the promised shape and order was not kept, each kind once; no failure by itself.
    """

    __slots__ = (
        "cached_tokens",
        "completion_tokens",
        "disorder",
        "done",
        "error",
        "finished",
        "first_event",
        "first_gen",
        "first_visible",
        "generations",
        "last_gen",
        "malformed",
        "prompt_tokens",
    )

    def __init__(self) -> None:
        self.first_event: int | None = None
        self.first_gen: int | None = None
        self.first_visible: int | None = None
        self.last_gen: int | None = None
        self.generations: list[int] = []
        self.done = False
        self.finished = False
        self.error: str | None = None
        self.malformed: str | None = None
        self.completion_tokens: int | None = None
        self.prompt_tokens: int | None = None
        self.cached_tokens: int | None = None
        self.disorder: list[str] = []

    @property
    def tokens(self) -> tuple[int, str]:
        """Generated tokens and the rung of the ladder they come from: ``usage`` or ``events``."""
        if self.completion_tokens is not None:
            return self.completion_tokens, "usage"
        return len(self.generations), "events"

    def event(self, name: bytes, data: bytes, stamp: int) -> None:
        """Take one server-sent event that was read at `stamp`."""
        if self.done or not data:
            return
        if self.first_event is None:
            self.first_event = stamp
        if data == b"[DONE]":
            self.done = True
            return
        document = self._document(data)
        if document is None:
            return
        if name == b"error" or document.get("error") is not None:
            self._error(document)
            return
        self._counts(document)
        self._choices(document.get("choices"), "delta", stamp)

    def text(self, stamp: int, *, visible: bool) -> None:
        """Take generated text, `visible` or reasoning, that was read at `stamp`."""
        if self.first_gen is None:
            self.first_gen = stamp
        if visible and self.first_visible is None:
            self.first_visible = stamp
        self.again(stamp)

    def again(self, stamp: int) -> None:
        """Take text of a kind that the answer had before; nothing is first any more."""
        self.last_gen = stamp
        self.generations.append(stamp)

    def whole(self, body: bytes, stamp: int) -> None:
        """Take a body that was not streamed; its text counts as generated at `stamp`."""
        document = self._document(body)
        if document is None:
            return
        if document.get("error") is not None:
            self._error(document)
            return
        self._counts(document)
        self._choices(document.get("choices"), "message", stamp)
        self.done = True

    def _document(self, data: bytes) -> Mapping[str, object] | None:
        try:
            # The event stream format decodes with replacement: broken UTF-8 is text, not an error.
            document = _parsed(data.decode("utf-8", "replace"))
        except (ValueError, RecursionError) as error:
            self.malformed = self.malformed or _cut(f"not JSON: {error}")
            return None
        if not isinstance(document, dict):
            self.malformed = self.malformed or "an event is not a JSON object"
            return None
        return document

    def _error(self, document: Mapping[str, object]) -> None:
        error = document.get("error", document)
        message = error.get("message") if isinstance(error, dict) else error
        if self.error is None:
            self.error = _cut(str(message if message is not None else error))

    def _choices(self, choices: object, part: str, stamp: int) -> None:
        if not isinstance(choices, list):
            self._disorder("an event has no list of choices")
            return
        generated = visible = False
        over = self.finished
        for choice in choices:
            if not isinstance(choice, dict):
                continue
            if choice.get("finish_reason") is not None:
                self.finished = True
            delta = choice.get(part)
            if isinstance(delta, dict):
                shown = _holds_text(delta, _VISIBLE) or bool(delta.get("tool_calls"))
                generated = generated or shown or _holds_text(delta, _REASONING)
            else:
                shown = _text(choice.get("text"))
                generated = generated or shown
            visible = visible or shown
        if generated:
            self.text(stamp, visible=visible)
            if over and len(choices) == 1:
                self._disorder("text came after the finish reason")

    def _disorder(self, what: str) -> None:
        if what not in self.disorder:
            self.disorder.append(what)

    def _counts(self, document: Mapping[str, object]) -> None:
        usage = document.get("usage")
        if isinstance(usage, dict):
            self.completion_tokens = _count(usage.get("completion_tokens"), self.completion_tokens)
            self.prompt_tokens = _count(usage.get("prompt_tokens"), self.prompt_tokens)
            details = usage.get("prompt_tokens_details")
            if isinstance(details, dict):
                self.cached_tokens = _count(details.get("cached_tokens"), self.cached_tokens)
        timings = document.get("timings")
        if self.cached_tokens is None and isinstance(timings, dict):
            # llama-server's own word for prompt tokens it took from its cache.
            self.cached_tokens = _count(timings.get("cache_n"), None)


def _parsed(text: str) -> object:
    """Parse JSON (raises ValueError, RecursionError); spared is what `json.loads` does about white space."""
    try:
        document, end = _DECODER.raw_decode(text)
    except ValueError:
        end = -1
    return document if end == len(text) else json.loads(text)


def _holds_text(delta: Mapping[str, object], names: tuple[str, ...]) -> bool:
    for name in names:  # noqa: SIM110  (for each event: a generator would cost more than the look-ups)
        if _text(delta.get(name)):
            return True
    return False


def _text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _count(value: object, otherwise: int | None) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if whole else otherwise  # type: ignore[return-value]


def _cut(text: str) -> str:
    return text[:DETAIL_LIMIT]
