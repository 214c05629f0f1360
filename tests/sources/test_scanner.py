"""The operator's scanner as a program: pinned, given the image, timed, and believed only as far as it goes.

The scanners here are shell scripts that this test writes and starts.
"""

import hashlib
import io
import json
import tarfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from macfleet.facts.scan import Rating
from macfleet.inventory import load_settings
from macfleet.inventory.scanner import ScannerSettings
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.sources.disk import DiskFiles
from macfleet.sources.scanner import ImageScanner, ScanCache

REPORT = {
    "SchemaVersion": 2,
    "Results": [{"Vulnerabilities": [{"VulnerabilityID": "CVE-1", "PkgName": "a", "Severity": "LOW"}]}],
}


def image():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as packed:
        for name, content in {"oci-layout": b"{}", "blobs/sha256/ab": b"layer"}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            packed.addfile(entry, io.BytesIO(content))
    data = buffer.getvalue()
    return (data[at : at + 1000] for at in range(0, len(data), 1000))


def ended(process, within=60.0):
    """Whether a process is gone, or dead and not yet taken note of."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        with suppress(FileNotFoundError, ProcessLookupError):
            if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
                continue
        return True
    return False


@pytest.fixture
def scanner(tmp_path):
    """Return a function that writes a scanner and makes an `ImageScanner` of it."""

    def made(script, *, arguments=("{layout}",), sha256=None, **more):
        program = tmp_path / "scanner"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        digest = hashlib.sha256(program.read_bytes()).hexdigest()
        command = (str(program), *arguments)
        return ImageScanner(ScannerSettings(command, sha256 or (digest,), "trivy", **more), tmp_path)

    return made


def prints(report):
    return f"cat <<'END'\n{json.dumps(report)}\nEND"


def refusal(work):
    with pytest.raises(MacfleetError) as caught:
        work()
    (found,) = caught.value.diagnostics
    return found


def test_a_scanner_is_given_the_image_and_its_report_is_read(scanner, tmp_path):
    seen = tmp_path / "seen"
    look = f'cat "$1/oci-layout" "$1/blobs/sha256/ab" >{seen}; tar -tf "$2" >>{seen}'
    found = scanner(f"{look}\n{prints(REPORT)}", arguments=("{layout}", "{archive}", "--json")).scan(image())
    assert [(each.id, each.rating) for each in found.findings] == [("CVE-1", Rating.LOW)]
    assert seen.read_text() == "{}layeroci-layout\nblobs/sha256/ab\n"
    assert list((tmp_path / ".macfleet").iterdir()) == []  # the image is gone again


def test_only_what_the_command_asks_for_is_on_disk(scanner, tmp_path):
    seen = tmp_path / "seen"
    scanner(f'ls "$(dirname "$1")" >{seen}\n{prints(REPORT)}').scan(image())
    assert seen.read_text() == "layout\n"
    scanner(f'ls "$(dirname "$1")" >{seen}\n{prints(REPORT)}', arguments=("{archive}",)).scan(image())
    assert seen.read_text() == "image.tar\n"


def test_no_shell_reads_the_arguments(scanner, tmp_path):
    scanner(f'printf %s "$2" >{tmp_path}/seen\n{prints(REPORT)}', arguments=("{layout}", "$(id); a b")).scan(
        image()
    )
    assert (tmp_path / "seen").read_text() == "$(id); a b"


def test_a_program_with_another_digest_is_not_started(scanner, tmp_path):
    found = refusal(lambda: scanner(f"touch {tmp_path}/ran", sha256=("0" * 64,), status=("db",)))
    assert (found.code, found.exit_code) == ("E0733", ExitCode.USAGE)
    assert "is not the pinned scanner: its SHA-256 is " in found.summary
    assert not (tmp_path / "ran").exists()


def test_a_program_that_is_not_there_is_said(tmp_path):
    for name in ("no-such-scanner", "./no-such-scanner"):
        settings = ScannerSettings((name, "{layout}"), ("0" * 64,), "grype")
        assert refusal(lambda settings=settings: ImageScanner(settings, tmp_path)).code == "E0732"


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        ("echo no database >&2; exit 3", "E0734", "ended with 3: no database"),
        ("printf 'a\\033[2Jb' >&2; exit 1", "E0734", "ended with 1: 'a\\x1b[2Jb'"),
        ("echo not json", "E0735", "is not JSON"),
        ("exit 0", "E0735", "is not JSON"),
        ("kill -9 $$", "E0734", "ended with -9"),
        (prints([]), "E0735", "not of its format"),
    ],
)
def test_a_scanner_that_fails_or_prints_something_else_is_not_believed(scanner, script, code, words):
    found = refusal(lambda: scanner(script).scan(image()))
    assert found.code == code
    assert words in found.summary


class WhenItHangs(threading.Thread):
    """A timer whose time is up when the scanner has started its child: no machine is too slow for it."""

    child = None

    def __init__(self, _seconds, act):
        super().__init__(daemon=True)
        self._act = act
        self._stopped = threading.Event()

    def run(self):
        while not self._stopped.wait(0.01):
            if self.child.exists() and self.child.read_text().endswith("\n"):
                return self._act()
        return None

    def cancel(self):
        self._stopped.set()


def test_a_scanner_that_hangs_is_ended_with_what_it_started(scanner, tmp_path, monkeypatch):
    monkeypatch.setattr(WhenItHangs, "child", tmp_path / "child")
    monkeypatch.setattr("macfleet.sources.scanner.threading.Timer", WhenItHangs)
    hang = f"sleep 600 & echo $! >{tmp_path}/child; wait"
    found = refusal(lambda: scanner(hang, deadline=1.0).scan(image()))
    assert (found.code, "took longer than 1 s" in found.summary) == ("E0734", True)
    assert ended(int((tmp_path / "child").read_text()))


def test_a_report_without_an_end_is_cut_off(scanner, monkeypatch):
    monkeypatch.setattr("macfleet.sources.scanner.SCAN_LIMIT", 2**20)
    found = refusal(lambda: scanner("yes", deadline=60.0).scan(image()))
    assert (found.code, "longer than 1 MiB" in found.summary) == ("E0735", True)


def test_an_image_that_breaks_off_leaves_nothing(scanner, tmp_path):
    def broken():
        yield b"x" * 100
        raise OSError(5, "gone")

    with pytest.raises(OSError, match="gone"):
        scanner(prints(REPORT)).scan(broken())
    assert list((tmp_path / ".macfleet").iterdir()) == []


def test_the_key_changes_with_the_database_and_the_arguments(scanner, tmp_path):
    status = tmp_path / "status"
    status.write_text('{"built": "2026-11-20T00:00:00Z"}')
    script = f'[ "$1" = db ] && exec cat {status}\n{prints(REPORT)}'
    first, again = (scanner(script, status=("db", "status")) for _ in range(2))
    assert (first.database, first.key) == ("2026-11-20T00:00:00Z", again.key)
    status.write_text('{"built": "2026-11-21T00:00:00Z"}')
    updated = scanner(script, status=("db", "status"))
    other = scanner(script, status=("db", "status"), arguments=("{layout}", "--all"))
    assert len({first.key, updated.key, other.key}) == 3


def test_a_scan_is_kept_by_its_image_and_one_that_cannot_be_read_is_none(scanner, tmp_path):
    from macfleet.facts.scan import Scanned

    cache = ScanCache(tmp_path / "scans")
    manifest = f"sha256:{'2' * 64}"
    assert cache.last(manifest) is None
    scan = Scanned(12.5, "ab", "cd", "", scanner(prints(REPORT)).scan(image()))
    cache.keep(manifest, scan)
    assert cache.last(manifest) == scan
    (kept,) = (tmp_path / "scans").iterdir()
    kept.write_text("{}")
    assert cache.last(manifest) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{command: [grype, -o, json], sha256: %s, format: grype}", "must say where the image goes"),
        ("{command: [grype, '{layout}'], sha256: abc, format: grype}", "sha256"),
        ("{command: [grype, '{layout}'], sha256: %s, format: sarif}", "format"),
        ("{command: grype, sha256: %s, format: grype}", "command"),
        ("{command: [grype, '{layout}'], format: grype}", '"sha256" is missing'),
        ("{command: [grype, '{layout}'], sha256: %s, format: grype, deadline: 0}", "deadline"),
    ],
)
def test_wrong_settings_of_a_scanner_are_refused_with_their_line(tmp_path, text, words):
    settings = f"name: test\nscanner: {text.replace('%s', 'ab' * 32)}\n"
    (tmp_path / "macfleet.yml").write_text(settings)
    with pytest.raises(MacfleetError) as caught:
        load_settings(DiskFiles(tmp_path), str(tmp_path))
    found = caught.value.diagnostics[0]
    assert (found.code, found.where.line) == ("E0204", 2)
    assert words in found.summary


def test_one_digest_or_several_may_be_pinned(tmp_path):
    one, two = "ab" * 32, "cd" * 32
    (tmp_path / "macfleet.yml").write_text(
        f"name: test\nscanner:\n  command: [trivy, image, '{{archive}}']\n  sha256: [{one}, {two}]\n  format: trivy\n"
    )
    found = load_settings(DiskFiles(tmp_path), str(tmp_path)).scanner
    assert (found.sha256, found.deadline, found.where.line) == ((one, two), 600.0, 2)
