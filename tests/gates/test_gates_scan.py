"""scan.yml and what it makes of scans: limits, exceptions that end, VEX statements that count, and the gate."""

import datetime as dt
import json

import pytest

from macfleet.facts.scan import Finding, Rating, Scanned, ScanReport
from macfleet.facts.scan_purl import ImageNames
from macfleet.gates import GateContext, build_gate
from macfleet.gates.scan_judgement import ScanJudgement, judge_scan
from macfleet.gates.scan_policy import load_scan_policy
from macfleet.gates.trust import Trust, may_place, misplaced, trust_of
from macfleet.model.diagnostic import Location, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.node import Endpoint, Node
from macfleet.model.stage import GateSpec, Outcome

NOW = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC).timestamp()
DAY = 86400.0
MANIFEST = f"sha256:{'2' * 64}"
IMAGE = ImageNames("registry.example/llama-server", frozenset((MANIFEST,)))


class Folder:
    def __init__(self, files):
        self.files = files

    def read(self, path):
        if path not in self.files:
            raise FileNotFoundError(path)
        return self.files[path].encode()

    def exists(self, path):
        return path in self.files


def finding(
    name="CVE-2026-1111", rating=Rating.HIGH, package="openssl", fixed=("3.0.15-1",), aliases=("DSA-1",)
):
    return Finding(name, rating, package, "3.0.11-1", f"pkg:deb/debian/{package}@3.0.11-1", fixed, aliases)


def scanned(*findings, at=NOW, database=""):
    return Scanned(at, "ab" * 32, "key", database, ScanReport("grype 0.110.0", "", "", findings))


def vex(status="not_affected", author="Release team", name="CVE-2026-1111", when="2026-11-01T00:00:00Z"):
    return {
        "vulnerability": {"name": name},
        "products": [{"@id": "pkg:deb/debian/openssl"}],
        "status": status,
        "justification": "vulnerable_code_not_present",
        "timestamp": when,
        "author": author,
    }


def document(*statements, author="Release team"):
    return json.dumps(
        {
            "@context": "https://openvex.dev/ns/v0.2.0",
            "author": author,
            "timestamp": "2026-11-01T00:00:00Z",
            "statements": list(statements),
        }
    )


def judged(scan, text="limit: high\n", now=NOW, **files):
    policy = load_scan_policy(Folder({"scan.yml": text, **files}))
    return judge_scan("engine", IMAGE, scan, policy, now)


def refusals(text, **files):
    with pytest.raises(MacfleetError) as caught:
        load_scan_policy(Folder({"scan.yml": text, **files}))
    return caught.value.diagnostics


EXCEPTION = "exceptions:\n  - {id: %s, expires: %s, reason: no TLS in there%s}\n"
VEX = "vex:\n  - {file: vex.json, author: Release team, expires: %s}\n"


@pytest.mark.parametrize(
    ("found", "text", "refused"),
    [
        (finding(), "limit: high\n", True),
        (finding(), "limit: critical\n", False),
        (finding(rating=Rating.CRITICAL), "limit: high\n", True),
        (finding(rating=Rating.MEDIUM), "limit: high\n", False),
        (finding(rating=Rating.UNKNOWN), "limit: high\n", False),
        (finding(rating=Rating.UNKNOWN), "limit: medium\n", True),
        (finding(rating=Rating.UNKNOWN), "{limit: high, unrated: high}\n", True),
        (finding(fixed=()), "limit: high\n", True),
        (finding(fixed=()), "{limit: high, unfixed: false}\n", False),
        (finding(), EXCEPTION % ("CVE-2026-1111", "2026-11-23", ""), False),
        (finding(), EXCEPTION % ("DSA-1", "2026-12-01", ""), False),
        (finding(), EXCEPTION % ("CVE-2026-1111", "2026-11-22", ""), True),
        (finding(), EXCEPTION % ("CVE-2026-2222", "2026-12-01", ""), True),
        (finding(), EXCEPTION % ("DSA-1", "2026-12-01", ", images: [engine]"), False),
        (finding(), EXCEPTION % ("DSA-1", "2026-12-01", ", images: [other]"), True),
        (finding(), EXCEPTION % ("DSA-1", "2026-12-01", ", packages: [openssl]"), False),
        (finding(), EXCEPTION % ("DSA-1", "2026-12-01", ", packages: [curl]"), True),
    ],
)
def test_a_finding_refuses_an_image_as_scan_yml_says(found, text, refused):
    verdict = judged(scanned(found), text)
    assert bool(verdict.refused) is refused
    assert not refused or verdict.refused[0].startswith(f"{found.id} (")


def test_a_refusal_says_what_where_and_what_mends_it():
    assert judged(scanned(finding(), finding("CVE-2026-2", fixed=()))).refused == (
        "CVE-2026-1111 (high) in openssl 3.0.11-1, mended in 3.0.15-1",
        "CVE-2026-2 (high) in openssl 3.0.11-1, not mended anywhere",
    )
    unrated = judged(scanned(finding(rating=Rating.UNKNOWN)), "limit: medium\n")
    assert "(not rated, counts as medium)" in unrated.refused[0]


def test_an_exception_that_is_over_is_named_with_its_line_and_its_reason():
    (refused,) = judged(scanned(finding()), EXCEPTION % ("DSA-1", "2026-11-22", "")).refused
    assert refused.endswith("; its exception expired on 2026-11-22: no TLS in there (scan.yml:2:6)")


def test_what_lets_a_finding_pass_is_said():
    excepted = judged(scanned(finding()), EXCEPTION % ("DSA-1", "2026-12-01", ""))
    (said,) = excepted.accepted
    assert said.startswith("CVE-2026-1111 (high) in openssl 3.0.11-1, mended in 3.0.15-1: ")
    assert said.endswith(": excepted until 2026-12-01, no TLS in there (scan.yml:2:6)")
    cleared = judged(scanned(finding()), VEX % "2027-01-01", **{"vex.json": document(vex())})
    assert cleared.refused == ()
    assert cleared.accepted[0].endswith(": not_affected, vulnerable_code_not_present (vex.json)")


@pytest.mark.parametrize(
    ("statements", "expires", "refused"),
    [
        ([vex()], "2026-11-23", False),
        ([vex()], "2026-11-22", True),
        ([vex("fixed")], "2027-01-01", False),
        ([vex("affected")], "2027-01-01", True),
        ([vex("under_investigation")], "2027-01-01", True),
        ([vex(name="CVE-2026-9")], "2027-01-01", True),
        ([vex(when="2026-10-01T00:00:00Z"), vex("affected")], "2027-01-01", True),
        ([vex(), vex("affected", when="2026-10-01T00:00:00Z")], "2027-01-01", False),
    ],
)
def test_the_latest_statement_counts_until_its_document_is_over(statements, expires, refused):
    verdict = judged(scanned(finding()), VEX % expires, **{"vex.json": document(*statements)})
    assert bool(verdict.refused) is refused


def test_a_document_that_is_over_is_named():
    (refused,) = judged(scanned(finding()), VEX % "2026-11-22", **{"vex.json": document(vex())}).refused
    assert refused.endswith("; vex.json expired on 2026-11-22 (scan.yml:2:6)")


def test_findings_between_flag_and_limit_flag_the_image():
    medium = finding("CVE-2026-3", Rating.MEDIUM)
    verdict = judged(scanned(finding(rating=Rating.LOW), medium), "{limit: high, flag: medium}\n")
    assert (verdict.refused, len(verdict.flagged)) == ((), 1)
    assert verdict.flagged[0].startswith("CVE-2026-3 (medium)")


@pytest.mark.parametrize(
    ("scan", "text", "words"),
    [
        (None, "", "it was not scanned"),
        (scanned(at=NOW - 8 * DAY), "", "it was scanned 8 days ago, more than 7 days"),
        (scanned(at=NOW - 8 * DAY), "max_age: 9d\n", ""),
        (scanned(), "database_age: 7d\n", "nobody knows how old the scanner's database is"),
        (scanned(database="2026-11-20T00:00:00Z"), "database_age: 7d\n", ""),
        (scanned(database="2026-11-10T12:00:00Z"), "database_age: 7d\n", "database was 13 days old, more than 7 days"),
        (scanned(database="recently"), "database_age: 7d\n", "nobody knows how old"),
    ],
)  # fmt: skip
def test_a_scan_that_is_missing_or_too_old_refuses(scan, text, words):
    refused = judged(scan, text or "{}\n").refused
    assert bool(refused) == bool(words)
    assert words in "".join(refused)


@pytest.mark.parametrize(
    ("text", "code", "line", "words"),
    [
        ("limits: high\n", "E0730", 1, 'unknown key "limits"'),
        ("limit: bad\n", "E0730", 1, "limit"),
        ("exceptions: [{id: CVE-1, expires: 2027-01-01}]\n", "E0730", 1, '"reason" is missing'),
        ("exceptions: [{id: CVE-1, reason: x}]\n", "E0730", 1, '"expires" is missing'),
        ("exceptions:\n  - {id: CVE-1, expires: soon, reason: x}\n", "E0730", 2, "expires"),
        ("exceptions:\n  - {id: CVE-1, expires: 2026-02-30, reason: x}\n", "E0730", 2, "expires"),
        ("vex:\n  - {file: no.json, author: a, expires: 2027-01-01}\n", "E0731", 2, "is not there"),
        ("vex:\n  - {file: bad.json, author: a, expires: 2027-01-01}\n", "E0731", 2, "is not JSON"),
        ("vex:\n  - {file: vex.json, author: a, expires: 2027-01-01}\n", "E0731", 2, "of Release team, not of a"),
    ],
)  # fmt: skip
def test_a_wrong_scan_yml_is_refused_with_its_place(text, code, line, words):
    (found,) = refusals(text, **{"bad.json": "{", "vex.json": document(vex())})
    assert (found.code, found.where.file, found.where.line) == (code, "scan.yml", line)
    assert words in found.summary


def test_without_a_scan_yml_there_is_no_policy():
    assert load_scan_policy(Folder({})) is None


def gate_judges(scans, images=("engine",)):
    context = GateContext(Node("mac-01", Endpoint("mac-01")), None, dict.fromkeys(images), scans=scans)
    return build_gate(GateSpec("images_scanned")).judge(context, {})


@pytest.mark.parametrize(
    ("scans", "outcome", "words"),
    [
        (None, Outcome.NOT_APPLICABLE, "no scan.yml"),
        ({}, Outcome.HOLD, "engine: it was not scanned"),
        ({"engine": ScanJudgement(("CVE-1 (high)",))}, Outcome.HOLD, "engine: CVE-1 (high)"),
        ({"engine": ScanJudgement()}, Outcome.PASS, "1 images scanned"),
        ({"engine": ScanJudgement((), ("CVE-1: excepted",))}, Outcome.PASS, "engine: CVE-1: excepted"),
    ],
)
def test_the_gate_holds_what_scan_yml_refuses_and_says_what_it_let_pass(scans, outcome, words):
    verdict = gate_judges(scans)
    assert verdict.outcome is outcome
    assert words in " ".join(verdict.reasons)


@pytest.mark.parametrize(
    ("image", "node", "placed"),
    [
        ("trusted", "trusted", True),
        ("trusted", "untrusted", True),
        ("flagged", "trusted", False),
        ("flagged", "flagged", True),
        ("flagged", "untrusted", True),
        ("untrusted", "trusted", False),
        ("untrusted", "flagged", False),
        ("untrusted", "untrusted", True),
        ("untrusted", "primary", False),
    ],
)
def test_images_go_to_nodes_that_are_labelled_for_them(image, node, placed):
    assert may_place(Trust(image), node) is placed


def test_what_images_yml_says_counts_before_what_a_scan_found():
    found = ("CVE-1 (medium)", "CVE-2 (medium)")
    declared = Trust("untrusted", Location("images.yml", 3, 5))
    assert trust_of(declared, found) is declared
    assert trust_of(Trust(), ()) == Trust()
    flagged = trust_of(Trust(), found)
    assert flagged.level == "flagged"
    by_scan, by_file = (misplaced("engine", each, "mac-01", "trusted") for each in (flagged, declared))
    assert (by_scan.exit_code, by_file.exit_code) == (ExitCode.HELD, ExitCode.USAGE)
    assert "its scan found CVE-1 (medium) and 1 more" in by_scan.summary
    assert "is untrusted (images.yml:3:5), and node mac-01 takes only trusted images" in by_file.summary
