"""A hunt that could not find anything would prove nothing: each place and spelling, planted and found."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import sqlite3
import subprocess
import tarfile
import zipfile
from urllib.parse import quote, quote_plus

import polars as pl
import pytest

from macfleet.testing.hunting import Hunt

PLANTED = 'pl/ä"nted s+3cret&=for the hunt'
HUNT = Hunt((PLANTED,))
DATA = PLANTED.encode()
SPELLINGS = {
    "plain": DATA,
    "JSON": json.dumps({"a": PLANTED}).encode(),
    "URL": quote(PLANTED, safe="").encode(),
    "form": f"a={quote_plus(PLANTED)}&b".encode(),
    "hex": b"00" + DATA.hex().encode(),
    "HEX": DATA.hex().upper().encode(),
    "base64": base64.b64encode(b"user:" + DATA + b"!"),
    "base64 for URLs": base64.urlsafe_b64encode(b"xy" + "?ÿÿ".encode() + DATA),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_each_spelling_is_found_and_named(name):
    assert name in HUNT.in_bytes(b"before " + SPELLINGS[name] + b" after")


@pytest.mark.parametrize(
    "gap", [b"\n", b"\r\n", b"\n    ", b"\\n"], ids=["plain", "MIME", "indented", "JSON"]
)
def test_a_line_break_amid_a_spelling_hides_nothing(gap):
    encoded = base64.b64encode(b"o" * 41 + DATA + b"o" * 41)
    assert "base64" in HUNT.in_bytes(gap.join(encoded[at : at + 76] for at in range(0, len(encoded), 76)))


def test_innocent_text_is_let_go():
    assert HUNT.in_text("planted s3cret, and base64 of it: cGxhbnRlZA==") == ()


def packed(kind, tmp_path):
    """A file of a kind that holds the secret."""
    path = tmp_path / f"file.{kind}"
    if kind == "gz":
        path.write_bytes(gzip.compress(DATA))
    elif kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("inside.txt", DATA)
    elif kind == "tar.gz":
        with tarfile.open(path, "w:gz") as archive:
            entry = tarfile.TarInfo("inside.txt")
            entry.size = len(DATA)
            archive.addfile(entry, io.BytesIO(DATA))
    elif kind == "parquet":
        pl.DataFrame({"words": [PLANTED] * 50}).write_parquet(path, compression="zstd")
    elif kind == "db":
        with sqlite3.connect(path) as base:
            base.execute("create table t (a text)")
            base.execute("insert into t values (?)", (PLANTED,))
        base.close()
    return path


@pytest.mark.parametrize("kind", ["gz", "zip", "tar.gz", "parquet", "db"])
def test_packed_files_are_opened(tmp_path, kind):
    path = packed(kind, tmp_path)
    found = HUNT.in_files(tmp_path)
    assert found
    assert all(name.startswith(str(path)) for name in found)
    assert HUNT.in_files(tmp_path, but=(path,)) == {}


def test_a_secret_in_an_argument_or_in_an_environment_is_seen_while_it_lives():
    with HUNT.in_processes() as quiet:
        pass
    assert (quiet.found, quiet.rounds >= 1, os.getpid() in quiet.processes) == (set(), True, True)
    with HUNT.in_processes() as watch:
        for words, more in ((["sh", "-c", "read -r a", PLANTED], {}), (["cat"], {"TOKEN": PLANTED})):
            with subprocess.Popen(words, stdin=subprocess.PIPE, env={**os.environ, **more}) as process:
                seen = watch.rounds
                while watch.rounds < seen + 2:
                    assert process.poll() is None
                process.communicate(b"\n")
    assert {(what, name) for what, name, _ in watch.found} >= {("cmdline", "plain"), ("environ", "plain")}
