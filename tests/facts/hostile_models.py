"""Model files by hand: sound ones, and one lie in each of the others."""

import io
import json
import pickle
import struct
import zipfile

ALIGN = 32
U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
Q4_0, HUGE = 2, 2**64 - 1


def u32(number):
    return struct.pack("<I", number)


def u64(number):
    return struct.pack("<Q", number)


def string(text, length=None):
    raw = text if isinstance(text, bytes) else text.encode()
    return u64(len(raw) if length is None else length) + raw


def pair(key, kind, value):
    return string(key) + u32(kind) + value


def array(key, kind, count, entries=b""):
    return pair(key, ARRAY, u32(kind) + u64(count) + entries)


def tensor(name, shape=(8,), kind=0, offset=0, dims=None):
    lengths = b"".join(map(u64, shape))
    return string(name) + u32(len(shape) if dims is None else dims) + lengths + u32(kind) + u64(offset)


ARCHITECTURE = pair("general.architecture", STRING, string("llama"))


def gguf(
    pairs=(ARCHITECTURE,), tensors=None, data=64, magic=b"GGUF", version=3, counts=None, align=ALIGN, tail=b""
):
    """Two tensors of 32 bytes unless told otherwise; `counts` replaces the true numbers."""
    tensors = (tensor("a"), tensor("b", offset=32)) if tensors is None else tensors
    n_tensors, n_pairs = counts or (len(tensors), len(pairs))
    head = magic + u32(version) + u64(n_tensors) + u64(n_pairs) + b"".join(pairs) + b"".join(tensors)
    return head + bytes(-len(head) % align) + bytes(data) + tail


def safetensors(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return u64(len(text) if length is None else length) + text + data


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


EIGHT = bytes(8)
SOUND = {
    "gguf v3": gguf(),
    "gguf v2": gguf(version=2),
    "gguf without tensors": gguf(tensors=(), data=0),
    "gguf of quantised rows": gguf(tensors=(tensor("q", (64, 2), Q4_0),), data=96),
    "gguf whose last tensor is not padded": gguf(tensors=(tensor("a", (3,)),), data=12),
    "gguf of a wider alignment": gguf(
        pairs=(ARCHITECTURE, pair("general.alignment", U32, u32(64))),
        tensors=(tensor("a"), tensor("b", offset=64)),
        data=128,
        align=64,
    ),
    "gguf with every type of value": gguf(
        pairs=(
            *(pair(f"v.{kind}", kind, bytes(size)) for kind, size in zip(
                (U8, I8, U16, I16, U32, I32, F32, BOOL, U64, I64, F64), (1, 1, 2, 2, 4, 4, 4, 1, 8, 8, 8), strict=True
            )),
            array("v.bools", BOOL, 3, b"\0\1\1"),
            array("v.none", F32, 0),
        )
    ),
    "gguf with a vocabulary": gguf(
        pairs=(
            array("tokenizer.ggml.tokens", STRING, 2, string("a") + string("é")),
            array("tokenizer.ggml.scores", F32, 2, bytes(8)),
            array("tokenizer.ggml.token_type", I32, 2, bytes(8)),
        )
    ),
    "safetensors": safetensors({"a": entry()}, EIGHT),
    "safetensors without tensors": safetensors({}),
    "safetensors with metadata and blanks": safetensors(
        b'{"__metadata__":{"format":"pt","\\u00e9":"\\"x\\""}, "a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}   ', EIGHT
    ),
    "safetensors in another order": safetensors(
        {"b": entry("BF16", (2, 2), (8, 16)), "a": entry(), "s": entry("I64", (), (16, 24)), "n": entry(shape=(0, 7), offsets=(8, 8))},
        bytes(24),
    ),
    "safetensors whose length reads like a pickle": safetensors(b"{}" + b" " * (0x0280 - 2)),
    "text": b"# A model card\n\nMit Umlauten: \xc3\xa4\n",
    "json": b'{"architectures": ["LlamaForCausalLM"]}',
}  # fmt: skip

SCALED = pair("general.alignment", U32, u32(32))
TOKENS = array("tokenizer.ggml.tokens", STRING, 2, string("a") + string("b"))


def lying_gguf():
    """Name → file, words of its refusal."""
    return {
        "another magic": (gguf(magic=b"GGUE"), "neither GGUF nor"),
        "version 1": (gguf(version=1), "version 1 is not 2 or 3"),
        "version 4": (gguf(version=4), "version 4"),
        "big-endian": (gguf(version=3 << 24), "big-endian"),
        "nothing after the magic": (b"GGUF", "the version claims 4 bytes where 0 are left"),
        "cut in the counts": (gguf()[:20], "2 tensors in 4 bytes"),
        "cut in a key": (gguf(tensors=())[:40], "a key claims 20 bytes"),
        "cut in the tensors": (gguf()[:100], "claims"),
        "cut in the data": (gguf()[:-1], "its tensors end at"),
        "endless tensors": (gguf(counts=(HUGE, 1)), "tensors, more than"),
        "more tensors than bytes": (gguf(counts=(60000, 1)), "60000 tensors in"),
        "a count that overflows a product": (gguf(counts=(2**63 // 24 + 1, 1)), "tensors, more than"),
        "endless keys": (gguf(counts=(2, HUGE)), "keys, more than"),
        "one key too many": (gguf(counts=(2, 2)), ""),
        "one tensor too many": (gguf(counts=(3, 1)), ""),
        "a key as long as the address space": (gguf(pairs=(string("k", HUGE),)), "a key claims"),
        "a key longer than any": (gguf(pairs=(pair("k" * 300, U8, b"\0"),)), "more than 256"),
        "an empty key": (gguf(pairs=(pair("", U8, b"\0"),)), "cannot be a key"),
        "a key with a zero": (gguf(pairs=(pair("a\0b", U8, b"\0"),)), "cannot be a key"),
        "a key that is not UTF-8": (gguf(pairs=(pair(b"\xff", U8, b"\0"),)), "not UTF-8"),
        "a key twice": (gguf(pairs=(ARCHITECTURE, ARCHITECTURE)), "there twice"),
        "a value of unknown type": (gguf(pairs=(pair("k", 13, b"\0"),)), "unknown type 13"),
        "a truth value of 2": (gguf(pairs=(pair("k", BOOL, b"\2"),)), "neither 0 nor 1"),
        "a truth value of 2 in an array": (gguf(pairs=(array("k", BOOL, 2, b"\1\2"),)), "neither 0 nor 1"),
        "a string past the end": (gguf(pairs=(pair("k", STRING, string("x", 2**40)),)), "claims"),
        "a string that wraps around": (gguf(pairs=(pair("k", STRING, string("x", HUGE - 7)),)), "claims"),
        "an array past the end": (gguf(pairs=(array("k", U64, 2**40),)), "cannot fit"),
        "an array whose bytes overflow": (gguf(pairs=(array("k", U64, 2**61 + 1, bytes(8)),)), "cannot fit"),
        "an array of endless strings": (gguf(pairs=(array("k", STRING, HUGE),)), "cannot fit"),
        "a string of an array past the end": (gguf(pairs=(array("k", STRING, 1, string("x", 2**40)),)), "claims"),
        "an array of arrays": (gguf(pairs=(array("k", ARRAY, 1, u32(U8) + u64(0)),)), "array of arrays"),
        "an array of unknown type": (gguf(pairs=(array("k", 99, 1, EIGHT),)), "unknown type 99"),
        "an alignment of 0": (gguf(pairs=(pair("general.alignment", U32, u32(0)),)), "general.alignment is 0"),
        "an alignment of 48": (gguf(pairs=(pair("general.alignment", U32, u32(48)),)), "general.alignment is 48"),
        "an alignment of 2 GiB": (gguf(pairs=(pair("general.alignment", U32, u32(2**31)),)), "general.alignment"),
        "an alignment of another type": (gguf(pairs=(pair("general.alignment", U64, u64(32)),)), "type 10"),
        "fewer scores than tokens": (gguf(pairs=(TOKENS, array("tokenizer.ggml.scores", F32, 1, bytes(4)))), "1 entries for a vocabulary of 2"),
        "types without tokens": (gguf(pairs=(array("tokenizer.ggml.token_type", I32, 1, bytes(4)),)), "vocabulary of 0"),
        "scores of another type": (gguf(pairs=(TOKENS, array("tokenizer.ggml.scores", U8, 2, b"\0\0"))), "entries of type 0"),
        "tokens that are numbers": (gguf(pairs=(array("tokenizer.ggml.tokens", U8, 2, b"ab"),)), "not strings"),
        "an architecture of a mebibyte": (gguf(pairs=(pair("general.architecture", STRING, string("l" * 2**20)),)), "more than 256"),
        "a name of 64 bytes": (gguf(tensors=(tensor("n" * 64),), data=32), "more than 63"),
        "no name": (gguf(tensors=(tensor(""),), data=32), "cannot be a tensor's name"),
        "two tensors of one name": (gguf(tensors=(tensor("a"), tensor("a", offset=32))), "there twice"),
        "five dimensions": (gguf(tensors=(tensor("a", (1,) * 5),), data=32), "5 dimensions"),
        "endless dimensions": (gguf(tensors=(tensor("a", dims=2**32 - 1),), data=32), "dimensions"),
        "a dimension of 0": (gguf(tensors=(tensor("a", (0,)),), data=32), "impossible shape"),
        "a negative dimension": (gguf(tensors=(tensor("a", (HUGE,)),), data=32), "impossible shape"),
        "a product that overflows": (gguf(tensors=(tensor("a", (2**32, 2**32)),), data=32), "impossible shape"),
        "a product that wraps to little": (gguf(tensors=(tensor("a", (2**33, 2**31 + 1)),), data=32), "impossible shape"),
        "bytes past 63 bits": (gguf(tensors=(tensor("a", (2**61,)), tensor("b", offset=2**63)), data=32), "of a file of"),
        "an unknown tensor type": (gguf(tensors=(tensor("a", kind=77),), data=32), "unknown type 77"),
        "a removed tensor type": (gguf(tensors=(tensor("a", kind=4),), data=32), "unknown type 4"),
        "half a block": (gguf(tensors=(tensor("a", (33,), Q4_0),), data=64), "no whole blocks"),
        "an offset outside": (gguf(tensors=(tensor("a", offset=2**40),), data=32), "where 0 was to come"),
        "an offset that is not aligned": (gguf(tensors=(tensor("a"), tensor("b", offset=33))), "where 32 was to come"),
        "two tensors on one another": (gguf(tensors=(tensor("a"), tensor("b", offset=0))), "where 32 was to come"),
        "a gap between tensors": (gguf(tensors=(tensor("a"), tensor("b", offset=64)), data=96), "where 32 was to come"),
        "a tensor larger than the file": (gguf(tensors=(tensor("a", (2**30,)),), data=32), "of a file of"),
        "something behind the last tensor": (gguf(tail=b"PK\x03\x04"), "4 bytes follow"),
    }  # fmt: skip


def lying_safetensors():
    """Name → file, words of its refusal."""
    good = '"dtype":"F32","shape":[2],"data_offsets":[0,8]'

    def written(text, data=EIGHT):
        return safetensors(text.encode(), data)

    return {
        "a header past the end": (safetensors({"a": entry()}, EIGHT, length=4096), "the header claims 4096"),
        "a header beyond the format": (safetensors({}, length=100_000_001), "more than the format's"),
        "a header longer than is read": (safetensors({}, length=99_999_999), "that are read"),
        "a header that begins with a blank": (safetensors(b" {}"), "neither GGUF nor"),
        "a header of one brace": (safetensors(b"{"), "not the JSON"),
        "bytes behind the JSON": (safetensors(b"{} {}"), "something follows"),
        "not UTF-8": (written('{"a":{' + good + '},"b":').replace(b'"b"', b'"\xff"'), "not UTF-8"),
        "a list": (written('{"a":[]}'), "lacks a {"),
        "deep nesting": (written('{"a":' + "{" * 100_000), "is no string"),
        "a name twice": (written('{"a":{' + good + '},"a":{' + good + "}}" ), "names a twice"),
        "a name twice in other letters": (written('{"a":{' + good + '},"\\u0061":{' + good + "}}" ), "twice"),
        "a part twice": (written('{"a":{' + good + ',"dtype":"F32"}}' ), "names dtype twice"),
        "an unknown part": (written('{"a":{' + good + ',"x":"y"}}' ), "unknown key x"),
        "no dtype": (written('{"a":{"shape":[2],"data_offsets":[0,8]}}'), "lacks dtype"),
        "one offset": (written('{"a":{"dtype":"F32","shape":[2],"data_offsets":[8]}}'), "two data_offsets"),
        "three offsets": (written('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4,8]}}'), "more than 2 numbers"),
        "a dtype of its own": (safetensors({"a": entry("F33")}, EIGHT), "unknown dtype F33"),
        "a number in quotes": (written('{"a":{"dtype":"F32","shape":["2"],"data_offsets":[0,8]}}'), "no whole number"),
        "a fraction": (written('{"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}'), "no whole number"),
        "an exponent": (written('{"a":{"dtype":"F32","shape":[1e9],"data_offsets":[0,8]}}'), "no whole number"),
        "a negative length": (written('{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}'), "no whole number"),
        "a trailing comma": (written('{"a":{"dtype":"F32","shape":[2,],"data_offsets":[0,8]}}'), "no whole number"),
        "a shape that overflows": (safetensors({"a": entry(shape=(2**32, 2**32, 2))}, EIGHT), "impossible shape"),
        "a shape that wraps to its offsets": (safetensors({"a": entry("U8", (2**63, 2, 8))}, EIGHT), "impossible shape"),
        "offsets that say less": (safetensors({"a": entry(offsets=(0, 4))}, EIGHT), "needs 8 bytes"),
        "offsets that run backwards": (safetensors({"a": entry(offsets=(8, 0))}, EIGHT), "needs 8 bytes"),
        "a hole before the first": (safetensors({"a": entry(offsets=(8, 16))}, bytes(16)), "leave or share bytes"),
        "shared bytes": (safetensors({"a": entry(), "b": entry()}, EIGHT), "leave or share bytes"),
        "bytes nobody owns": (safetensors({"a": entry()}, bytes(9)), "8 of 9 bytes"),
        "data cut": (safetensors({"a": entry()}, bytes(7)), "8 of 7 bytes"),
        "half a byte": (safetensors({"a": entry("F4", (1,), (0, 1))}, b"\0"), "needs 0.5 bytes"),
        "metadata that is no text": (written('{"__metadata__":{"a":1}}', b""), "no string"),
        "a raw line break in a name": (written('{"a\n":{' + good + "}}" ), "no string"),
        "a dimension too many": (safetensors({"a": entry(shape=(1,) * 65)}, EIGHT), "more than 64 numbers"),
    }  # fmt: skip


class _Evil:
    def __reduce__(self):
        return print, ("it ran",)


def archive(*names):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as writer:
        for name in names:
            writer.writestr(name, pickle.dumps(_Evil()))
    return packed.getvalue()


def pickle_in_safetensors():
    """A header whose length is ``\\x80\\x02`` and a float, so that its JSON is read as opcodes as well."""
    text = b'{".K\xc2\x8c\x05posixK\xc2\x8c\x06systemK\xc2\x93)R'
    return bytes([0x80, 2, ord("G"), 0, 0, 0, 0, 0]) + text


def refused_by_content():
    """Name → file, words of its refusal; what a file is called never mattered."""
    return {
        "an empty file": (b"", "empty"),
        **{f"a pickle of protocol {n}": (pickle.dumps(_Evil(), n), "pickle") for n in range(6)},
        "a pickle of mere data": (pickle.dumps({"a": 1}, 4), "pickle of protocol 4"),
        "a pickle that breaks off after its call": (b"cposix\nsystem\n(S'id'\ntR\xff", "pickle"),
        "a pickle that calls with i": (b"(S'id'\niposix\nsystem\n.", "pickle"),
        "a pickle longer than what is read": (
            b"cposix\nsystem\n" + b"(S'" + b"x" * 100_000 + b"'\ntR.",
            "pickle",
        ),
        "a PyTorch file": (
            archive("archive/data.pkl", "archive/data/0"),
            "zip archive with archive/data.pkl",
        ),
        "any zip archive": (archive("readme.txt"), "zip archive"),
        "an empty zip archive": (archive(), "zip archive"),
        "a NumPy file": (b"\x93NUMPY\x01\0", "NumPy"),
        "a Keras file": (b"\x89HDF\r\n\x1a\n", "HDF5"),
        "a tar archive": (bytes(257) + b"ustar\0" + bytes(300), "tar archive"),
        "a gzip archive": (b"\x1f\x8b\x08", "gzip"),
        "an old ggml file": (b"tjgg" + bytes(20), "forerunner"),
        "a program": (b"\x7fELF" + bytes(20), "program"),
        "a program of a Mac": (b"\xcf\xfa\xed\xfe" + bytes(20), "program"),
        "a script": (b"#!/bin/sh\n", "script"),
        "bytes nobody knows": (b"\0\1\2\3", "neither GGUF nor"),
        "text that is not UTF-8": (b"abc\xff", "neither GGUF nor"),
    }
