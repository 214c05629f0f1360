"""Every spelling in which a secret may come back: as it is, and as programs encode it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

from macfleet.model import shell
from macfleet.model.secret import Secret
from macfleet.views.diagnostics import clean

_LEAST = 8
"""Characters of a part of a secret that is looked for alone; shorter ones would tear up innocent text."""
_COLUMNS = (76, 64)
"""Widths at which programs break base64: MIME and GNU coreutils, PEM."""
_HEX_COLUMNS = 60
"""Width at which xxd -p breaks hexadecimal."""


def forms(secret: Secret) -> tuple[str, ...]:
    """Return the texts that give a secret away, longest first; none of them is empty.

    Besides the secret itself: every line of one that has several; base64 (both alphabets, at any offset
    within other data, broken into lines); in hexadecimal, as xxd -p breaks it; URL-encoded; escaped in JSON,
    in shell words and for a terminal.
    """
    text = secret.reveal()
    found = {text, text.strip()}
    if len(text.splitlines()) > 1:
        found |= {line.strip() for line in text.splitlines() if len(line.strip()) >= _LEAST}
    for plain in tuple(found):
        found |= {*_escaped(plain), *_url(plain), *_base64(plain), *_hex(plain)}
    return tuple(sorted((form for form in found if form), key=lambda form: (-len(form), form)))


def coded(secret: Secret) -> tuple[str, ...]:
    """Return the base64 and hexadecimal texts of `forms` that stay one when line breaks are taken out.

    Programs break both after so many characters of *all* that they encode: the break falls anywhere.
    """
    text = secret.reveal()
    found = {text, text.strip()}
    spelled = {each for plain in found for each in (*_base64(plain), *_hex(plain))}
    return tuple(sorted(each for each in spelled if len(each) >= _LEAST))


def _escaped(text: str) -> Iterator[str]:
    for ascii_only in (True, False):
        once = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield once
        yield json.dumps(once, ensure_ascii=ascii_only)[1:-1]
    yield repr(text)[1:-1]
    yield shell.quote(text)
    yield shell.quote(text).replace("'\"'\"'", "'\\''")
    yield clean(text)


def _url(text: str) -> Iterator[str]:
    data = text.encode("utf-8", "surrogateescape")
    for encoded in (quote(data, safe=""), quote(data), quote_plus(data), quote(data, safe="!~*'()")):
        yield encoded
        yield _lower_hex(encoded)


def _lower_hex(encoded: str) -> str:
    head, *parts = encoded.split("%")
    return "%".join([head, *(part[:2].lower() + part[2:] for part in parts)])


def _base64(text: str) -> Iterator[str]:
    data = text.encode("utf-8", "surrogateescape")
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        whole = encode(data).decode()
        yield from (whole, quote(whole, safe=""), _lower_hex(quote(whole, safe="")))
        if len(whole.rstrip("=")) >= _LEAST:
            yield whole.rstrip("=")
        for offset in range(3):
            inside = _inside(encode(b"\0" * offset + data).decode(), offset, len(data))
            if len(inside) >= _LEAST:
                yield inside
        for width in _COLUMNS:
            if len(whole) > width:
                lines = [whole[at : at + width] for at in range(0, len(whole), width)]
                yield from (line for line in lines if len(line) >= _LEAST)


def _hex(text: str) -> Iterator[str]:
    whole = text.encode("utf-8", "surrogateescape").hex()
    lines = [whole[at : at + _HEX_COLUMNS] for at in range(0, len(whole), _HEX_COLUMNS)]
    for each in {whole, *(line for line in lines if len(line) >= 2 * _LEAST)}:
        yield from (each, each.upper())


def _inside(encoded: str, offset: int, size: int) -> str:
    """Return the characters that depend on the secret's bytes alone, not on what stands around them.

    A character carries 6 bits; the first that lies wholly in the secret is ``ceil(8·offset / 6)``, the last
    ends before ``floor(8·(offset + size) / 6)``.
    """
    return encoded[-(-8 * offset // 6) : 8 * (offset + size) // 6]
