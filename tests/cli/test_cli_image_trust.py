"""Images that are not trusted, in a fleet folder: refused before a node is asked, unless a node is set apart."""

from __future__ import annotations

import json

import pytest

from macfleet.facts.scan import Finding, Rating, Scanned, ScanReport
from macfleet.sources.scanner import ScanCache

MANIFEST = f"sha256:{'2' * 64}"  # what the pinned images of these fleets have
IMAGES = """\
images:
  engine: {reference: "registry.example/llama-server:b10434", trust: untrusted}
  loadgen: {reference: "registry.example/python:3.13"}
"""


def label(fleet, trust):
    hosts = fleet / "inventory/hosts.yml"
    hosts.write_text(hosts.read_text().replace("vars: {", f"vars: {{trust: {trust}, "))


def keep_scan(fleet, rating):
    found = Finding("CVE-2026-1111", rating, "openssl", "3.0.11", "", ("3.0.15",))
    report = ScanReport("grype 0.1", "", "", (found,))
    ScanCache(fleet / ".macfleet" / "scans").keep(MANIFEST, Scanned(4e9, "ab" * 32, "key", "", report))


def test_an_image_of_a_file_is_a_usage_error_with_both_places(run, fleet):
    (fleet / "images.yml").write_text(IMAGES)
    code, _, err = run("rollout", "stage2", "--check", "-l", "mac-01")
    said = " ".join(err.split())
    assert (code, "E0740" in said) == (2, True)
    assert "image engine is untrusted (images.yml:2:" in said
    assert "roles/images/tasks/main.yml:4:" in said
    assert "E0740" in run("lint")[1]
    label(fleet, "untrusted")
    assert "E0740" not in run("lint")[1]


@pytest.mark.parametrize(
    ("policy", "trust", "code"),
    [
        ("{limit: critical, flag: high}\n", "trusted", 7),
        ("{limit: critical, flag: high}\n", "flagged", 5),  # 5: then the node is asked, which listens nowhere
        ("{limit: critical}\n", "trusted", 5),
        ("{limit: critical, flag: critical}\n", "trusted", 5),
    ],
)
def test_what_a_scan_found_flags_an_image(run, fleet, policy, trust, code):
    keep_scan(fleet, Rating.HIGH)
    (fleet / "scan.yml").write_text(policy)
    label(fleet, trust)
    ended, out, err = run("rollout", "stage2", "--check", "-l", "mac-01", "--output", "json")
    assert (ended, "its scan found CVE-2026-1111 (high)" in out + err) == (code, code == 7)
    if code == 7:
        assert json.loads(out.splitlines()[-1])
