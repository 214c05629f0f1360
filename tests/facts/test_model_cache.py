"""Hugging Face caches on a node: a sound one is accepted, every way to swap bytes is named."""

import hashlib
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macfleet.facts.model_cache import (
    CachedFile,
    Snapshot,
    cache_faults,
    cached_file,
    holdings_script,
    model_folder,
    parse_holdings,
    read_holdings,
)
from macfleet.model.resource import ProbeOutput

COMMIT, OTHER = "c0ffee" + "0" * 34, "bad" + "0" * 37
LARGE, SMALL = b"G" * 5000, b'{"a": 1}'


def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def cache(tmp_path):
    """A cache as the client library writes it: one large file, one small one in a subfolder."""
    root = tmp_path / "it's $(touch pwned)" / "models--org--small"
    snapshot = root / "snapshots" / COMMIT
    for folder in (root / "refs", root / "blobs", snapshot / "sub"):
        folder.mkdir(parents=True)
    (root / "refs/main").write_text(COMMIT)
    (root / "blobs" / sha256(LARGE)).write_bytes(LARGE)
    (root / "blobs" / git_sha1(SMALL)).write_bytes(SMALL)
    (snapshot / "model.gguf").symlink_to(f"../../blobs/{sha256(LARGE)}")
    (snapshot / "sub/config.json").symlink_to(f"../../../blobs/{git_sha1(SMALL)}")
    return root


def locked(root):
    snapshot = root / "snapshots" / COMMIT
    return {
        str(snapshot / "model.gguf"): (len(LARGE), sha256(LARGE)),
        str(snapshot / "sub/config.json"): (len(SMALL), sha256(SMALL)),
    }


def faults(root, pinned=None, ignored=(), shell="dash"):
    pinned = locked(root) if pinned is None else pinned
    done = subprocess.run(
        [shutil.which(shell), "-c", holdings_script(list(pinned))], capture_output=True, text=True, check=True
    )
    found = read_holdings(parse_holdings(ProbeOutput(0, done.stdout, done.stderr))["lines"])
    where = cached_file(next(iter(pinned)))
    names = {cached_file(path).name: value for path, value in pinned.items()}
    return list(cache_faults(where, found.snapshots[where.root, where.revision], names, ignored))


@pytest.mark.parametrize("shell", ["dash", "bash", "zsh"])
def test_a_sound_cache_has_no_fault(cache, shell):
    assert faults(cache, shell=shell) == []
    assert not list(cache.parents[1].rglob("pwned"))


def swap_blob(root):
    blob = root / "blobs" / git_sha1(SMALL)
    blob.write_bytes(b'{"a": 2}')


def swap_link(root):
    link = root / "snapshots" / COMMIT / "model.gguf"
    link.unlink()
    other = b"H" * 5000
    (root / "blobs" / sha256(other)).write_bytes(other)
    link.symlink_to(f"../../blobs/{sha256(other)}")


def lead_outside(root):
    (root.parent / "elsewhere").write_bytes(LARGE)
    link = root / "snapshots" / COMMIT / "model.gguf"
    link.unlink()
    link.symlink_to("../../../elsewhere")


def absolute(root):
    link = root / "snapshots" / COMMIT / "model.gguf"
    link.unlink()
    link.symlink_to(root / "blobs" / sha256(LARGE))


BROKEN = {
    "a moved ref": (lambda r: (r / "refs/main").write_text(OTHER), f"refs/main says {OTHER[:12]}, pinned is"),
    "a file nobody pinned": (
        lambda r: (r / "snapshots" / COMMIT / "modeling.py").write_text("import os"),
        "modeling.py is not in weights.lock, an engine would load it",
    ),
    "a missing file": (lambda r: (r / "snapshots" / COMMIT / "model.gguf").unlink(), "model.gguf is missing"),
    "a missing blob": (lambda r: (r / "blobs" / sha256(LARGE)).unlink(), "which is missing"),
    "a cut blob": (lambda r: (r / "blobs" / sha256(LARGE)).write_bytes(b"G"), "has 1 bytes, weights.lock says"),
    "a small file of other bytes": (swap_blob, f"is not its blob {git_sha1(SMALL)[:12]}"),
    "a link to another blob": (swap_link, f"weights.lock says {sha256(LARGE)[:12]}"),
    "a link out of the cache": (lead_outside, "leads to ../../../elsewhere, which is no blob of this model"),
    "a link by its whole path": (absolute, "which is no blob of this model"),
    "no snapshot": (lambda r: shutil.rmtree(r / "snapshots"), f"snapshots/{COMMIT} is missing"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_cache_that_is_not_as_pinned_is_named(cache, name):
    pinned = locked(cache)
    change, words = BROKEN[name]
    change(cache)
    found = faults(cache, pinned)
    assert len(found) == 1
    assert words in found[0]


def test_files_that_need_no_lock_may_lie_there(cache):
    (cache / "snapshots" / COMMIT / "README.md").write_text("about")
    assert faults(cache, ignored={"README.md"}) == []


def test_a_tag_instead_of_a_commit_is_a_fault():
    where = CachedFile("/c/models--o--m", "main", "a")
    found = list(cache_faults(where, Snapshot(files={"a"}), {"a": (1, "0" * 64)}, ()))
    assert found == ["/c/models--o--m/snapshots/main: main is no commit, so what it holds may change"]


def test_a_cache_without_refs_pins_nothing_wrong():
    where = CachedFile("/c/models--o--m", COMMIT, "a")
    assert list(cache_faults(where, Snapshot(files={"a"}), {"a": (1, "0" * 64)}, ())) == []


def test_only_paths_of_a_cache_are_cached_files():
    path = f"/c/models--o--m/snapshots/{COMMIT}/sub/a.gguf"
    assert cached_file(path) == CachedFile("/c/models--o--m", COMMIT, "sub/a.gguf")
    assert cached_file("/models/small.gguf") is None
    assert model_folder(path) == f"/c/models--o--m/snapshots/{COMMIT}"
    assert model_folder("/models/small.gguf") == "/models"


def test_the_signature_beside_a_model_is_brought(tmp_path):
    (tmp_path / "model.sig").write_bytes(b"{}")
    done = subprocess.run(
        ["sh", "-c", holdings_script([str(tmp_path / "a.gguf")])], capture_output=True, text=True, check=True
    )
    assert read_holdings(done.stdout.splitlines()).signatures == {str(tmp_path): "e30="}


@given(st.text(max_size=80))
def test_whatever_a_node_prints_is_read_or_not_understood(text):
    try:
        parse_holdings(ProbeOutput(0, text, ""))
    except ValueError:
        return


def test_nothing_pinned_asks_nothing():
    assert holdings_script([]) == ":"
