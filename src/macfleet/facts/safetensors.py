"""Reads the header of a safetensors file: strict JSON of one shape, and tensors that fill the file exactly.

The JSON is taken apart by hand: a general parser keeps what it reads in objects thirty times as large, lets
a key stand twice, and reads numbers that no tensor can have.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from macfleet.facts.model_bytes import Cursor, ModelFileRefused, ModelSource, shown
from macfleet.facts.model_file import ModelFile

FORMAT_LIMIT = 100_000_000
"""Bytes of a header that the format allows at most."""
_LIMIT = 24 * 2**20  # 200 000 tensors; the largest models published name a few thousand a file
_TENSORS_LIMIT = 200_000
_NAME_LIMIT = 4096
_DIMS_LIMIT = 64
_INT64 = 2**63
_METADATA = "__metadata__"
_BITS: Mapping[str, int] = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"), 8),
    **dict.fromkeys(("F8_E5M2FNUZ", "F8_E4M3FNUZ"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
}
_BLANK = re.compile(rb"[ \t\r\n]*+")
_STRING = re.compile(rb'"((?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+)"')
_NUMBER = re.compile(rb"(?:0|[1-9][0-9]{0,18})(?![0-9.eE])")


def looks_like_safetensors(head: bytes, size: int) -> bool:
    """Whether the first bytes are a header length below 4 GiB and the brace a header begins with."""
    return size > 8 and head[4:8] == bytes(4) and head[8:9] == b"{"


def read_safetensors(source: ModelSource) -> ModelFile:
    """Return what the header says once all of it holds.

    Raises:
        ModelFileRefused: the first thing that does not hold.
    """
    cursor = Cursor(source)
    length = cursor.number(8, "the header's length")
    if length > FORMAT_LIMIT:
        raise ModelFileRefused(f"its header claims {length} bytes, more than the format's {FORMAT_LIMIT}")
    if length > _LIMIT:
        raise ModelFileRefused(f"its header claims {length} bytes, more than the {_LIMIT} that are read")
    header = cursor.take(length, "the header")
    _check_text(header)
    found = _Header(header).read()
    end = 0
    for begin, stop in sorted(found.ranges):
        if begin != end:
            raise ModelFileRefused(f"its tensors leave or share bytes: {begin} follows {end}")
        end = stop
    if end != cursor.left:
        raise ModelFileRefused(f"its tensors end at {end} of {cursor.left} bytes of data")
    return ModelFile("safetensors", cursor.position, len(found.ranges))


def _check_text(header: bytes) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(header), 65536):
            decoder.decode(header[start : start + 65536])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise ModelFileRefused("its header is not UTF-8") from error


@dataclass(slots=True)
class _Entry:
    """One tensor while it is read; None until its key came."""

    dtype: str | None = None
    shape: tuple[int, ...] | None = None
    offsets: tuple[int, ...] | None = None


@dataclass(slots=True)
class _Header:
    """A position in the header's JSON, and the byte ranges of the tensors read so far."""

    text: bytes
    position: int = 0
    ranges: list[tuple[int, int]] = field(default_factory=list)

    def read(self) -> _Header:
        """Read the whole header."""
        if self.text[:1] != b"{":
            raise ModelFileRefused("its header does not begin with {")
        self._members("the header", self._tensor)
        self._blank()
        if self.position != len(self.text):
            raise self._not_json("something follows the header's JSON")
        return self

    def _tensor(self, name: str) -> None:
        if name == _METADATA:
            self._members(_METADATA, lambda key: self._value_string(f"{_METADATA}.{shown(key)}"))
            return
        entry, safe = _Entry(), shown(name)
        self._members(f"tensor {safe}", lambda key: self._part(safe, key, entry))
        self.ranges.append(_range(safe, entry))

    def _part(self, name: str, key: str, entry: _Entry) -> None:
        if key == "dtype":
            entry.dtype = self._string("a dtype")
        elif key == "shape":
            entry.shape = self._numbers(_DIMS_LIMIT, f"the shape of {name}")
        elif key == "data_offsets":
            entry.offsets = self._numbers(2, f"the offsets of {name}")
        else:
            raise ModelFileRefused(f"tensor {name} has the unknown key {shown(key)}")

    def _members(self, what: str, read: Callable[[str], object]) -> None:
        """Read an object, its values by `read`; a key that stands twice is refused."""
        self._expect(b"{", what)
        seen: set[bytes] = set()
        if self._next() == b"}":
            self.position += 1
            return
        while True:
            key = self._string(f"a key of {what}")
            # Two readers may take different ones of a pair; digests keep long names short.
            digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
            if digest in seen:
                raise ModelFileRefused(f"{what} names {shown(key)} twice")
            if len(seen) > _TENSORS_LIMIT:
                raise ModelFileRefused(f"{what} has more than {_TENSORS_LIMIT} keys")
            seen.add(digest)
            self._expect(b":", what)
            read(key)
            if self._next() == b"}":
                self.position += 1
                return
            self._expect(b",", what)

    def _numbers(self, limit: int, what: str) -> tuple[int, ...]:
        self._expect(b"[", what)
        found: list[int] = []
        while self._next() != b"]" or found:
            matched = _NUMBER.match(self.text, self.position)
            if matched is None:
                raise self._not_json(f"{what} holds something that is no whole number")
            if len(found) == limit:
                raise ModelFileRefused(f"{what} holds more than {limit} numbers")
            found.append(int(matched[0]))
            self.position = matched.end()
            if self._next() == b"]":
                break
            self._expect(b",", what)
            self._blank()
        self.position += 1
        return tuple(found)

    def _string(self, what: str) -> str:
        matched = self._value_string(what)
        if len(matched) > _NAME_LIMIT:
            raise ModelFileRefused(f"{what} has {len(matched)} bytes, more than {_NAME_LIMIT}")
        return str(json.loads(b'"%b"' % matched))

    def _value_string(self, what: str) -> bytes:
        self._blank()
        matched = _STRING.match(self.text, self.position)
        if matched is None:
            raise self._not_json(f"{what} is no string")
        self.position = matched.end()
        return matched[1]

    def _expect(self, mark: bytes, what: str) -> None:
        if self._next() != mark:
            raise self._not_json(f"{what} lacks a {mark.decode()}")
        self.position += 1

    def _next(self) -> bytes:
        self._blank()
        return self.text[self.position : self.position + 1]

    def _blank(self) -> None:
        matched = _BLANK.match(self.text, self.position)
        self.position = matched.end() if matched else self.position

    def _not_json(self, problem: str) -> ModelFileRefused:
        return ModelFileRefused(f"its header is not the JSON the format asks for: {problem}")


def _range(name: str, entry: _Entry) -> tuple[int, int]:
    if entry.dtype is None or entry.shape is None or entry.offsets is None or len(entry.offsets) != 2:
        raise ModelFileRefused(f"tensor {name} lacks dtype, shape or two data_offsets")
    bits = _BITS.get(entry.dtype)
    if bits is None:
        raise ModelFileRefused(f"tensor {name} has the unknown dtype {shown(entry.dtype)}")
    for length in entry.shape:
        bits *= length
        if bits >= 8 * _INT64:
            raise ModelFileRefused(f"tensor {name} has the impossible shape {list(entry.shape)}")
    begin, stop = entry.offsets
    if bits % 8 or stop - begin != bits // 8:
        raise ModelFileRefused(f"tensor {name} needs {bits / 8:g} bytes, its offsets say {stop - begin}")
    return begin, stop
