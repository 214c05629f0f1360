"""The program that serves parts, run for real; and what the scripts around it say."""

import hashlib
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest

from macfleet.resources.part_relay import SERVER, keep_script, serve_script
from macfleet.testing import LocalTransport

TOKEN = "one-run"  # noqa: S105 (of this test)
PART = f"sha256-{'a' * 64}"
BYTES = bytes(range(256)) * 40


@contextmanager
def serving(folder, life="60"):
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    command = [sys.executable, "-I", "-c", SERVER, life, digest, "0", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield server, f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.kill()


@pytest.fixture
def relay(tmp_path):
    (tmp_path / PART).write_bytes(BYTES)
    (tmp_path / "secret").write_text("no part")
    with serving(tmp_path) as (_, url):
        yield url


def ask(url, headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:  # noqa: S310 (loopback)
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read()


KNOWN = {"Authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    ("path", "headers", "status", "body"),
    [
        (PART, KNOWN, 200, BYTES),
        (PART, {**KNOWN, "Range": "bytes=10000-"}, 206, BYTES[10000:]),
        (PART, {**KNOWN, "Range": f"bytes={len(BYTES)}-"}, 416, b""),
        (PART, {**KNOWN, "Range": "bytes=5-9"}, 200, BYTES),  # only "from here on" is understood
        (PART, {}, 403, b""),
        (PART, {"Authorization": "Bearer other"}, 403, b""),
        (PART, {"Authorization": f"Basic {TOKEN}"}, 403, b""),
        ("secret", KNOWN, 404, b""),
        (f"../{PART}", KNOWN, 404, b""),
        (f"sha256-{'b' * 64}", KNOWN, 404, b""),
        ("", KNOWN, 404, b""),
    ],
)
def test_parts_are_given_to_who_has_the_token_and_nothing_else_is(relay, path, headers, status, body):
    assert ask(f"{relay}/{path}", headers) == (status, body)


def test_a_relay_ends_by_itself_when_nobody_ends_it(tmp_path):
    with serving(tmp_path, life="0.2") as (server, _):
        assert server.wait(timeout=60) == 0


def test_what_is_kept_stays_when_the_part_goes_and_what_other_runs_kept_goes(tmp_path):
    folder = tmp_path / "blobs"
    (folder / "kept-dead" / "relay").mkdir(parents=True)
    (folder / PART).write_bytes(BYTES)
    done = LocalTransport(tmp_path).run(keep_script(str(folder), "now", PART), deadline=60)
    assert done.exit == 0, done.stderr
    (folder / PART).unlink()
    assert (folder / "kept-now" / "relay" / PART).read_bytes() == BYTES
    assert [each.name for each in folder.iterdir()] == ["kept-now"]


def test_the_token_itself_is_in_no_script_and_names_reach_the_shell_quoted():
    script = serve_script(
        "/Users/o p/blobs", "m1", PART, image="x; rm -rf ~", digest="d" * 64, profile="default"
    )
    assert "'x; rm -rf ~'" in script
    assert "cd '/Users/o p/blobs/kept-m1'" in script
    assert TOKEN not in script
