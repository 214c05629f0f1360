"""Reads the header of a GGUF file and believes no number in it.

Engines have been taken over by headers that lie: counts that overflow a multiplication, lengths past the
file's end, offsets outside of it, arrays of another length than the vocabulary they belong to. So every
count is held against what is left of the file before it is used, and every tensor must lie where the
format says it lies: behind the one before, padded to the alignment, inside the file.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from macfleet.facts.gguf_types import TENSOR_TYPES
from macfleet.facts.model_bytes import Cursor, ModelFileRefused, ModelSource
from macfleet.facts.model_file import ModelFile

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_BYTE_SWAPPED = tuple(int.from_bytes(v.to_bytes(4, "big"), "little") for v in _VERSIONS)
# Models of a thousand experts name some ten thousand tensors when they are not merged.
_COUNT_LIMIT = 65535
_KEY_LIMIT = 256  # the format allows more; the longest key an engine knows has 60
_NAME_LIMIT = 63  # ggml keeps 64 bytes for a name, its final zero among them
_ARCHITECTURE_LIMIT = 256
_DIMS_LIMIT = 4
_ALIGNMENT_LIMIT = 2**20
_INT64 = 2**63
_BOOL, _STRING, _ARRAY, _UINT32, _INT32, _FLOAT32 = 7, 8, 9, 4, 5, 6
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_TOKENS = "tokenizer.ggml.tokens"
# Engines index these by token, so each must be as long as the vocabulary.
_BY_TOKEN = {"tokenizer.ggml.scores": _FLOAT32, "tokenizer.ggml.token_type": _INT32}
_BYTES_A_PAIR = 8 + 1 + 4 + 1
_BYTES_A_TENSOR = 8 + 1 + 4 + 4 + 8


def read_gguf(source: ModelSource) -> ModelFile:
    """Return what the header says once all of it holds.

    Reads the header alone, in windows of 64 KiB; memory grows with the number of keys and tensors only.

    Raises:
        ModelFileRefused: the first thing that does not hold.
    """
    cursor = Cursor(source)
    if cursor.take(4, "the magic") != MAGIC:
        raise ModelFileRefused("it does not begin with GGUF")
    version = cursor.number(4, "the version")
    if version not in _VERSIONS:
        swapped = ": it is written for a big-endian machine" if version in _BYTE_SWAPPED else ""
        raise ModelFileRefused(f"GGUF version {version} is not 2 or 3{swapped}")
    tensors = _count(cursor, "tensors", _BYTES_A_TENSOR)
    pairs = _count(cursor, "keys", _BYTES_A_PAIR)
    said = _Metadata()
    for _ in range(pairs):
        said.read(cursor)
    said.check()
    _tensors(cursor, tensors, said.alignment, source.size)
    return ModelFile("gguf", cursor.position, tensors, version, said.architecture)


@dataclass(slots=True)
class _Metadata:
    """The key-value pairs as far as they matter for reading on."""

    alignment: int = 32
    architecture: str = ""
    seen: set[bytes] = field(default_factory=set)
    arrays: dict[str, tuple[int, int]] = field(default_factory=dict)

    def read(self, cursor: Cursor) -> None:
        """Read one pair."""
        raw = _string(cursor, "a key", _KEY_LIMIT)
        key = _text(raw, "a key")
        if not key or not key.isprintable():
            raise ModelFileRefused(f"{key!r} cannot be a key")
        if raw in self.seen:
            raise ModelFileRefused(f"key {key} is there twice")
        self.seen.add(raw)
        kind = cursor.number(4, f"the type of {key}")
        if kind == _ARRAY:
            self._array(cursor, key)
        elif kind == _STRING:
            self._string(cursor, key)
        elif kind not in _SIZES:
            raise ModelFileRefused(f"{key} has the unknown type {kind}")
        elif kind == _BOOL:
            _booleans(cursor, 1, key)
        else:
            self._number(cursor, key, kind)

    def check(self) -> None:
        """Refuse arrays that engines index by token but that are shorter or longer than the vocabulary."""
        tokens = self.arrays.get(_TOKENS)
        for key, kind in _BY_TOKEN.items():
            if key not in self.arrays:
                continue
            found, count = self.arrays[key]
            if tokens is None or count != tokens[1]:
                has = tokens[1] if tokens else 0
                raise ModelFileRefused(f"{key} has {count} entries for a vocabulary of {has}")
            if found != kind:
                raise ModelFileRefused(f"{key} has entries of type {found}, not {kind}")
        if tokens is not None and tokens[0] != _STRING:
            raise ModelFileRefused(f"{_TOKENS} has entries of type {tokens[0]}, not strings")

    def _string(self, cursor: Cursor, key: str) -> None:
        what = f"the value of {key}"
        if key == "general.architecture":
            self.architecture = _text(_string(cursor, what, _ARCHITECTURE_LIMIT), what)
        else:
            cursor.skip_strings(1, what)

    def _number(self, cursor: Cursor, key: str, kind: int) -> None:
        value = cursor.number(_SIZES[kind], f"the value of {key}")
        if key != "general.alignment":
            return
        if kind != _UINT32 or not 8 <= value <= _ALIGNMENT_LIMIT or value & (value - 1):
            raise ModelFileRefused(
                f"general.alignment is {value} (type {kind}), no power of two of 8 or more"
            )
        self.alignment = value

    def _array(self, cursor: Cursor, key: str) -> None:
        kind = cursor.number(4, f"the entries' type of {key}")
        count = cursor.number(8, f"the length of {key}")
        what = f"array {key} of {count} entries"
        if kind == _ARRAY:
            raise ModelFileRefused(f"{key} is an array of arrays, which engines do not read")
        if kind != _STRING and kind not in _SIZES:
            raise ModelFileRefused(f"{key} has entries of the unknown type {kind}")
        if count * _SIZES.get(kind, 8) > cursor.left:
            raise ModelFileRefused(f"{what} cannot fit in the {cursor.left} bytes that are left")
        if key == _TOKENS or key in _BY_TOKEN:
            self.arrays[key] = (kind, count)
        if kind == _STRING:
            cursor.skip_strings(count, what)
        elif kind == _BOOL:
            _booleans(cursor, count, key)
        else:
            cursor.skip(count * _SIZES[kind], what)


def _tensors(cursor: Cursor, count: int, alignment: int, size: int) -> None:
    """Every tensor lies behind the one before, padded; all of them inside the file, and nothing after."""
    names: set[bytes] = set()
    last = end = 0
    for _ in range(count):
        raw = _string(cursor, "a tensor's name", _NAME_LIMIT)
        name = _text(raw, "a tensor's name")
        if not name or not name.isprintable():
            raise ModelFileRefused(f"{name!r} cannot be a tensor's name")
        if raw in names:
            raise ModelFileRefused(f"tensor {name} is there twice")
        names.add(raw)
        needed = _bytes_of_tensor(cursor, name)
        offset = cursor.number(8, f"the offset of {name}")
        if offset != end:
            raise ModelFileRefused(f"tensor {name} lies at {offset}, where {end} was to come")
        last = offset + needed
        if last > size:
            raise ModelFileRefused(f"tensor {name} ends at {last} of a file of {size} bytes")
        end = _padded(last, alignment)
    start = _padded(cursor.position, alignment)
    if count and start + last > size:
        raise ModelFileRefused(f"its tensors end at {start + last} of a file of {size} bytes")
    if size > start + end:
        raise ModelFileRefused(f"{size - start - end} bytes follow the last tensor")


def _bytes_of_tensor(cursor: Cursor, name: str) -> int:
    dims = cursor.number(4, f"the dimensions of {name}")
    if dims > _DIMS_LIMIT:
        raise ModelFileRefused(f"tensor {name} has {dims} dimensions, more than {_DIMS_LIMIT}")
    shape: tuple[int, ...] = struct.unpack(f"<{dims}Q", cursor.take(8 * dims, f"the shape of {name}"))
    elements = 1
    for length in shape:
        elements *= length
        if not 0 < length < _INT64 or elements >= _INT64:
            raise ModelFileRefused(f"tensor {name} has the impossible shape {list(shape)}")
    kind = TENSOR_TYPES.get(number := cursor.number(4, f"the type of {name}"))
    if kind is None:
        raise ModelFileRefused(f"tensor {name} has the unknown type {number}")
    if (shape[0] if shape else 1) % kind.block:
        raise ModelFileRefused(f"rows of tensor {name} are no whole blocks of {kind.name}")
    return elements // kind.block * kind.size


def _count(cursor: Cursor, what: str, least: int) -> int:
    count = cursor.number(8, f"the number of {what}")
    if count > _COUNT_LIMIT:
        raise ModelFileRefused(f"it claims {count} {what}, more than {_COUNT_LIMIT}")
    if count * least > cursor.left:
        raise ModelFileRefused(f"it claims {count} {what} in {cursor.left} bytes")
    return count


def _string(cursor: Cursor, what: str, limit: int) -> bytes:
    length = cursor.number(8, f"the length of {what}")
    if length > limit:
        raise ModelFileRefused(f"{what} claims {length} bytes, more than {limit}")
    return cursor.take(length, what)


def _booleans(cursor: Cursor, count: int, key: str) -> None:
    for piece in cursor.pieces(count, f"the value of {key}"):
        if piece.translate(None, b"\0\1"):
            raise ModelFileRefused(f"{key} holds a truth value that is neither 0 nor 1")


def _text(raw: bytes, what: str) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelFileRefused(f"{what} is not UTF-8") from error


def _padded(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment
