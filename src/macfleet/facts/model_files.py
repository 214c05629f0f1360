"""What a model file is, by its content alone: sound GGUF or safetensors, plain text, or refused.

A name proves nothing: a pickle runs code wherever a loader opens it, whatever it is called. So pickles and
every container that can carry one are known by their bytes, and bytes that nobody knows are refused.
"""

from __future__ import annotations

import codecs
import pickletools
import re
import struct
from collections.abc import Sequence

from macfleet.facts import gguf
from macfleet.facts.model_bytes import ModelFileRefused, ModelSource, beyond, shown
from macfleet.facts.model_file import ModelFile
from macfleet.facts.safetensors import looks_like_safetensors, read_safetensors

SNIFF = 64 * 1024
"""Bytes from the start that tell what a file is."""
UNKNOWN = "it is neither GGUF nor safetensors nor text"
# Where it begins → what it is, and why an engine must not get it.
_REFUSED: Sequence[tuple[int, bytes, str]] = (
    (0, b"PK\x05\x06", "an empty zip archive"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file, which may hold code as Keras layers"),
    (0, b"\x93NUMPY", "a NumPy file, which may hold a pickle"),
    (0, b"\x1f\x8b", "a gzip archive, which is not looked into"),
    (0, b"BZh", "a bzip2 archive, which is not looked into"),
    (0, b"\xfd7zXZ\0", "an xz archive, which is not looked into"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd archive, which is not looked into"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive, which is not looked into"),
    (257, b"ustar", "a tar archive, as old PyTorch files are"),
    (0, b"lmgg", "a file of GGUF's forerunner, whose headers no engine checks"),
    (0, b"tjgg", "a file of GGUF's forerunner, whose headers no engine checks"),
    (0, b"fmgg", "a file of GGUF's forerunner, whose headers no engine checks"),
    (0, b"\x7fELF", "a program"),
    (0, b"\xcf\xfa\xed\xfe", "a program"),
    (0, b"\xca\xfe\xba\xbe", "a program"),
    (0, b"MZ", "a program"),
    (0, b"#!", "a script"),
)
# Control characters no text has; tab, line feed, form feed, carriage return and escape are left out.
_CONTROLS = bytes({*range(32)} - {9, 10, 12, 13, 27})
_PROTOCOLS = range(2, 6)
# Opcodes of a pickle that call what an opcode before them named.
_CALLS = frozenset({"OBJ", "NEWOBJ", "NEWOBJ_EX", "REDUCE", "BUILD", "STOP"})
_SPEAKS = frozenset({"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"})
_WRITTEN_NAME = re.compile(r"[A-Za-z_][\w.]* [A-Za-z_][\w.]*")
_CUT_SHORT = ("remain", "no newline", "exhausted")


def inspect(source: ModelSource) -> ModelFile:
    """Return what a model file is; reads its header and nothing behind it.

    Raises:
        ModelFileRefused: it is not, or not provably, something an engine may be given.
    """
    head = source.read(0, min(SNIFF, source.size))
    if not source.size:
        raise ModelFileRefused("it is empty")
    if head.startswith(gguf.MAGIC):
        return gguf.read_gguf(source)
    if looks_like_safetensors(head, source.size):
        _refuse_pickle(head)  # the length of a header can be made to look like a pickle's first bytes
        return read_safetensors(source)
    if len(head) < min(SNIFF, source.size):
        raise beyond(len(head))
    for offset, magic, what in _REFUSED:
        if head.startswith(magic, offset):
            raise ModelFileRefused(f"it is {what}")
    if head.startswith(b"PK\x03\x04"):
        raise ModelFileRefused(f"it is a zip archive{_zip_member(head)}, as PyTorch writes its pickles")
    if head[0] == 0x80 and len(head) > 1 and head[1] in _PROTOCOLS:
        raise ModelFileRefused(f"it is a pickle of protocol {head[1]}, which runs code when it is loaded")
    _refuse_pickle(head)
    if _is_text(head, whole=len(head) == source.size):
        return ModelFile("text", len(head))
    raise ModelFileRefused(UNKNOWN)


def _zip_member(head: bytes) -> str:
    """Name what the archive shows first: a pickle where there is one."""
    names: list[str] = []
    position = head.find(b"PK\x03\x04")
    while 0 <= position <= len(head) - 30:
        length = int.from_bytes(head[position + 26 : position + 28], "little")
        names.append(head[position + 30 : position + 30 + length].decode("utf-8", "replace"))
        position = head.find(b"PK\x03\x04", position + 30)
    told = next((name for name in names if name.endswith(".pkl")), names[0] if names else "")
    return f" with {shown(told)}" if told else ""


def _refuse_pickle(head: bytes) -> None:
    if _calls_something(head):
        raise ModelFileRefused("it is a pickle, which runs code when it is loaded")


def _calls_something(head: bytes) -> bool:
    """Whether it is a pickle of any protocol that names something and calls it; nothing of it is run.

    It is one from the call on, whatever follows: a loader would have made the call before it failed.
    """
    marked = spoke = named = False
    try:
        for opcode, argument, _ in pickletools.genops(head):
            written = isinstance(argument, str) and _WRITTEN_NAME.fullmatch(argument) is not None
            named = named or (opcode.name == "GLOBAL" and written)
            named = named or (opcode.name == "STACK_GLOBAL" and spoke)
            spoke = spoke or opcode.name in _SPEAKS
            marked = marked or opcode.name == "MARK"
            if (named and opcode.name in _CALLS) or (marked and written and opcode.name == "INST"):
                return True
    except (ValueError, IndexError, OverflowError, struct.error) as error:
        return named and len(head) == SNIFF and any(words in str(error) for words in _CUT_SHORT)
    return False


def _is_text(head: bytes, *, whole: bool) -> bool:
    if len(head.translate(None, _CONTROLS)) != len(head):
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=whole)
    except UnicodeDecodeError:
        return False
    return True
