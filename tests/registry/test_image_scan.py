"""`macfleet image scan` on images of a real registry, with a scanner that is a script of this test."""

import hashlib
import json
import shutil

import pytest
from image_pusher import sha256

from macfleet.cli.main import main

# Prints what is recorded beside it, with the config digest of the layout it was given, and counts its runs.
SCANNER = """#!/bin/sh
here=$(dirname "$0")
if [ "$1" = status ]; then cat "$here/status.json"; exit; fi
echo run >>"$here/runs"
manifest=$(sed 's/.*"digest":"sha256:\\([0-9a-f]*\\)".*/\\1/' "$1/index.json")
config=$(tr -d ' ' <"$1/blobs/sha256/$manifest" |
  sed 's/.*"config":{[^}]*"digest":"\\(sha256:[0-9a-f]*\\)".*/\\1/')
sed "s/CONFIG/$config/" "$here/report.json"
"""


def report(*found, image="CONFIG"):
    """A report of Grype: (name, severity, package) a finding."""
    matches = [
        {
            "vulnerability": {
                "id": name,
                "severity": severity,
                "fix": {"versions": ["2.0"], "state": "fixed"},
            },
            "artifact": {"name": package, "version": "1.0", "purl": f"pkg:deb/debian/{package}@1.0"},
        }
        for name, severity, package in found
    ]
    source = {"type": "image", "target": {"imageID": image}}
    return json.dumps(
        {"matches": matches, "source": source, "descriptor": {"name": "grype", "version": "0.1"}}
    )


@pytest.fixture
def fleet(tmp_path, pusher, registry):
    """A fleet folder with one pinned image and a scanner."""
    pusher.image("scanned", tag="v1", files={"etc/hello": b"hello"})
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory/hosts.yml").write_text(
        "all: {children: {serving: {hosts: {mac-01: {ansible_host: 203.0.113.1, arms: [container]}}}}}\n"
    )
    (tmp_path / "images.yml").write_text(
        f"images:\n  engine: {{reference: '{registry}/scanned:v1'}}\n"
        f"registries:\n  '{registry}': {{plain_http: true}}\n"
    )
    scanner = tmp_path / "tools" / "scanner"
    scanner.parent.mkdir()
    scanner.write_text(SCANNER)
    scanner.chmod(0o755)
    (scanner.parent / "status.json").write_text('{"built": "2026-11-01T00:00:00Z"}')
    (scanner.parent / "report.json").write_text(
        report(("CVE-1", "High", "openssl"), ("CVE-2", "Low", "curl"))
    )
    (tmp_path / "macfleet.yml").write_text(
        "name: test\nscanner:\n  command: [tools/scanner, '{layout}']\n  format: grype\n  status: [status]\n"
        f"  sha256: {hashlib.sha256(SCANNER.encode()).hexdigest()}\n"
    )
    return tmp_path


@pytest.fixture
def macfleet(fleet, capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--fleet", str(fleet)])
        told = capsys.readouterr()
        return ended.value.code, told.out, " ".join(told.err.split())

    assert run("image", "pin")[0] == 0
    return run


def runs(fleet):
    counted = fleet / "tools" / "runs"
    return len(counted.read_text().splitlines()) if counted.exists() else 0


def test_findings_are_only_shown_where_nothing_says_what_may_be_found(macfleet, fleet):
    code, out, err = macfleet("image", "scan")
    assert (code, out.strip()) == (0, "✓ engine linux/arm64  1 high, 1 low  (grype 0.1)")
    assert "scanning engine for linux/arm64" in err
    assert not list((fleet / ".macfleet").glob("scan-*"))


def test_scan_yml_refuses_an_image_until_an_exception_lets_it_pass(macfleet, fleet):
    (fleet / "scan.yml").write_text("limit: high\n")
    code, out, err = macfleet("image", "scan")
    assert (code, out[0]) == (7, "✗")
    assert "E0737" in err
    assert "image engine for linux/arm64: CVE-1 (high) in openssl 1.0, mended in 2.0" in err
    (fleet / "scan.yml").write_text("exceptions:\n  - {id: CVE-1, expires: 2999-01-01, reason: no TLS}\n")
    code, out, _ = macfleet("image", "scan")
    assert code == 0
    assert "let pass: CVE-1 (high) in openssl 1.0, mended in 2.0: excepted until 2999-01-01, no TLS" in out
    (fleet / "scan.yml").write_text("exceptions:\n  - {id: CVE-1, expires: 2020-01-01, reason: no TLS}\n")
    code, _, err = macfleet("image", "scan")
    assert (code, "its exception expired on 2020-01-01: no TLS (scan.yml:2:6)" in err) == (7, True)
    assert runs(fleet) == 1  # judged three times, scanned once


def test_a_scan_is_repeated_only_when_something_changed_or_somebody_asks(macfleet, fleet):
    for arguments, scans in (((), 1), ((), 1), (("--again",), 2)):
        assert macfleet("image", "scan", *arguments)[0] == 0
        assert runs(fleet) == scans
    (fleet / "tools/status.json").write_text('{"built": "2026-11-02T00:00:00Z"}')
    assert macfleet("image", "scan")[0] == 0
    assert runs(fleet) == 3


def test_the_document_holds_every_finding_and_what_was_made_of_it(macfleet, fleet, pusher):
    (fleet / "scan.yml").write_text("{limit: critical, flag: high, database_age: 36500d}\n")
    code, out, _ = macfleet("image", "scan", "engine", "--output", "json")
    document = json.loads(out)
    assert (code, document["schema"], document["kind"]) == (0, 1, "image.scan")
    (image,) = document["images"]
    assert (image["name"], image["scanner"], image["database"]) == (
        "engine",
        "grype 0.1",
        "2026-11-01T00:00:00Z",
    )
    assert [(each["id"], each["rating"]) for each in image["findings"]] == [
        ("CVE-1", "high"),
        ("CVE-2", "low"),
    ]
    assert (image["refused"], len(image["flagged"])) == ([], 1)
    assert image["manifest"] in (fleet / "images.lock").read_text()


def test_a_report_about_another_image_is_not_believed(macfleet, fleet):
    (fleet / "tools/report.json").write_text(report(image=sha256(b"another")))
    code, _, err = macfleet("image", "scan")
    assert (code, "the scanner looked at another image than engine" in err) == (7, True)
    (fleet / "tools/report.json").write_text(report())
    assert macfleet("image", "scan")[0] == 0  # nothing of it was kept


@pytest.mark.parametrize(
    ("break_it", "code", "words"),
    [
        (lambda fleet: (fleet / "tools/scanner").write_text("#!/bin/sh\n"), 2, "E0733"),
        (lambda fleet: shutil.rmtree(fleet / "tools"), 2, "E0732"),
        (lambda fleet: (fleet / "macfleet.yml").write_text("name: test\n"), 2, "no scanner is chosen"),
        (lambda fleet: (fleet / "tools/report.json").write_text("{"), 7, "E0735"),
        (lambda fleet: (fleet / "scan.yml").write_text("limit: some\n"), 2, "E0730"),
        (lambda fleet: (fleet / "tools/status.json").unlink(), 1, "E0734"),
    ],
)
def test_what_is_wrong_ends_in_its_own_refusal(macfleet, fleet, break_it, code, words):
    break_it(fleet)
    ended, out, err = macfleet("image", "scan")
    assert (ended, out) == (code, "")
    assert words in err


def test_an_image_that_nobody_pinned_is_refused_with_the_nearest(macfleet):
    code, _, err = macfleet("image", "scan", "engin")
    assert (code, 'did you mean "engine"?' in err) == (2, True)


def test_lint_finds_a_wrong_scan_yml(fleet, macfleet):
    (fleet / "scan.yml").write_text("limit: high\nlimits: low\n")
    code, out, _ = macfleet("lint")
    assert code == 2
    assert 'unknown key "limits" for scan.yml' in " ".join(out.split())
