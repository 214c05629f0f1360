"""Fixtures of a wanted length out of a seed: the same bytes on every machine and for ever, from no corpus."""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from macfleet.contract.border import BucketModel, ContractFile, RouteModel
from macfleet.documents import nearest
from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError
from macfleet.model.json import Json

# A template's marks, and the nonce that is put before the prompt: three digits a group, eight groups.
_BESIDES = 48
# How much of what is left of a context is filled, in percent: see `estimate`.
_FILLED = 94
_LEAST = 32
_COUNT_LIMIT = 1000
_TASKS = (
    "Retell the notes below as a letter to a friend.",
    "Write ten questions that the notes below leave open.",
    "Put what the notes below tell into a table of two columns.",
    "Say in one paragraph what the notes below are about.",
    "Go on with the notes below in the same voice.",
    "Make a list of every person and every thing in the notes below.",
)
_WHO = ("the old baker", "a young teacher", "the night guard", "my brother", "the ship's cook", "a tall man")
_WHO_ELSE = ("the mayor", "her doctor", "the new driver", "a farmer", "our neighbour", "the last guest")
_DID = ("found", "kept", "wanted", "carried", "sold", "forgot", "painted", "lost", "counted", "opened")
_WHAT = ("a red box", "the long letter", "three silver keys", "an empty bottle", "the small boat", "a map")
_WHAT_ELSE = ("the winter coat", "a box of apples", "the church clock", "two wooden chairs", "a green door")
_WHEN = ("before the rain", "in the early morning", "after the meeting", "on the third day", "at night")
_WHERE = ("near the river", "behind the school", "on the hill", "in the market", "by the old bridge")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Fixtures to make.

    Attributes:
        bucket: their bucket in the contract.
        tokens: prompt tokens, as `estimate` counts them; 0 for what the bucket's context leaves.
        count: how many; seed: another one gives other texts.
    """

    bucket: str
    tokens: int = 0
    count: int = 6
    seed: int = 1


def generate(promise: ContractFile, wanted: Wanted, where: Location) -> dict[str, str]:
    """Return the fixture files by path beside the contract; equal input gives equal bytes.

    Raises:
        MacfleetError: E0720 no such bucket, E0721 its pattern names no file that could be made, E0722 a
            length or number that does not fit, E0723 no route takes a prompt.
    """
    bucket = _bucket(promise, wanted.bucket, where)
    pattern = _pattern(bucket, wanted.bucket, where)
    tokens = _tokens(bucket, wanted, where)
    route = _route(promise, where)
    made: dict[str, str] = {}
    for number in range(wanted.count):
        name = f"{wanted.bucket[:32]}-{tokens}-s{wanted.seed}-{number:03}"
        text = _prompt(_Dice(f"{wanted.seed}/{wanted.bucket}/{number}"), tokens, number)
        body = _body(route, promise.model.name, text, bucket.output, wanted.seed + number)
        made[pattern.replace("*", name)] = _fixture(name, body, bucket.output)
    return made


def estimate(text: str) -> int:
    """Return the tokens a text of the generator has: one a word and one a full stop.

    Its words are common enough for one token each: a vocabulary of 131 000 (Tekken) counts 1 to 2 % more, one
    of 32 000 (SentencePiece, of the first Mistral models) 4 to 6 %, measured on prompts of 400, 1 500 and
    2 000. What a model really counted stands in the usage of every measured request.
    """
    return len(text.split()) + text.count(".")


def _bucket(promise: ContractFile, name: str, where: Location) -> BucketModel:
    bucket = promise.buckets.get(name)
    if bucket is None:
        guess = nearest(name, promise.buckets)
        known = ", ".join(sorted(promise.buckets))
        mend = f'did you mean "{guess}"?' if guess else f"Buckets: {known}. Add one to {where.file}."
        raise MacfleetError(
            Diagnostic("E0720", f'the contract has no bucket "{name}"', mend=mend, where=where)
        )
    return bucket


def _pattern(bucket: BucketModel, name: str, where: Location) -> str:
    folder, file = posixpath.split(bucket.fixtures)
    if file.count("*") == 1 and not set("*?[") & set(folder) and not set("?[") & set(file):
        return bucket.fixtures
    summary = f'no file can be made for the pattern "{bucket.fixtures}" of bucket {name}'
    mend = f"Write fixtures: fixtures/{name}/*.json"
    raise MacfleetError(Diagnostic("E0721", summary, mend=mend, where=where))


def _tokens(bucket: BucketModel, wanted: Wanted, where: Location) -> int:
    most = (bucket.context - _BESIDES) * _FILLED // 100
    tokens = wanted.tokens or most
    if tokens > most or tokens < _LEAST:
        raise MacfleetError(
            Diagnostic(
                "E0722",
                f"a prompt of {tokens} tokens does not fit bucket {wanted.bucket}",
                why=f"Of the context of {bucket.context} nonce, template and other vocabularies need a part.",
                mend=f"Choose --tokens between {_LEAST} and {most}." if most >= _LEAST else "Raise context.",
                where=where,
            )
        )
    if not 1 <= wanted.count <= _COUNT_LIMIT or wanted.seed < 0:
        summary = f"{wanted.count} fixtures of seed {wanted.seed} cannot be made"
        mend = f"--count is 1 to {_COUNT_LIMIT}, --seed 0 or more."
        raise MacfleetError(Diagnostic("E0722", summary, mend=mend))
    return tokens


def _fixture(name: str, body: Mapping[str, Json], output: int) -> str:
    document = {"id": name, "body": body, "expected_tokens": {"min": output, "max": output}}
    return json.dumps(document, indent=2) + "\n"


def _route(promise: ContractFile, where: Location) -> RouteModel:
    """Return the first promised route that takes a prompt."""
    found = next((route for route in promise.routes if route.path.endswith("/completions")), None)
    if found is None:
        mend = "Promise /v1/chat/completions or /v1/completions, or write fixtures by hand."
        raise MacfleetError(Diagnostic("E0723", "no promised route takes a prompt", mend=mend, where=where))
    return found


def _body(route: RouteModel, model: str, text: str, output: int, seed: int) -> dict[str, Json]:
    """Return a request's body; every answer has the same length."""
    message: dict[str, Json] = {"role": "user", "content": text}
    chat = route.path.endswith("/chat/completions")
    asked: dict[str, Json] = {"messages": [message]} if chat else {"prompt": text}
    streaming: dict[str, Json] = {"stream": True} if route.stream else {}
    if route.stream and route.usage:
        streaming["stream_options"] = {"include_usage": True}
    fixed: dict[str, Json] = {"max_tokens": output, "temperature": 0, "seed": seed}
    return {"model": model, **asked, **fixed, **streaming, "ignore_eos": True}


class _Dice:
    """Numbers out of a seed, from SHA-256 in counter mode: the same in every version of every language."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._thrown = 0

    def one_of(self, choices: Sequence[str]) -> str:
        """Return one of at most 256 choices."""
        digest = hashlib.sha256(f"{self._seed}/{self._thrown}".encode()).digest()
        self._thrown += 1
        return choices[int.from_bytes(digest[:8], "big") % len(choices)]


def _prompt(dice: _Dice, tokens: int, number: int) -> str:
    """Return a task and notes; `estimate` of them is `tokens`, or one less."""
    task = _TASKS[number % len(_TASKS)]
    left = tokens - estimate(task)
    sentences: list[str] = []
    for sentence in _sentences(dice):
        words = sentence.split()[: max(0, left - 1)]
        if not words:
            break
        sentences.append(" ".join(words) + ".")
        left -= len(words) + 1
    paragraphs = [" ".join(sentences[start : start + 6]) for start in range(0, len(sentences), 6)]
    return "\n\n".join([task, *paragraphs])


def _sentences(dice: _Dice) -> Iterator[str]:
    while True:
        who = dice.one_of(_WHO + _WHO_ELSE)
        what = dice.one_of(_WHAT + _WHAT_ELSE)
        place = f"{dice.one_of(_WHERE)} {dice.one_of(_WHEN)}"
        yield f"{who[0].upper()}{who[1:]} {dice.one_of(_DID)} {what} {place}"
