"""Reports of Grype, Trivy and OSV-Scanner become one form; what is none of theirs is refused in words.

The reports are written by hand after the documented formats: Grype's JSON presenter (database schema 6),
Trivy's report of schema version 2, OSV-Scanner's JSON output around advisories of the OSV schema.
"""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macfleet.facts.scan import Finding, Rating, counted, rating_of, rating_of_score
from macfleet.facts.scan_formats import FORMATS, database_built
from macfleet.facts.scan_reading import ScanRefused

CONFIG = f"sha256:{'3' * 64}"


def grype(*matches, **more):
    target = {"userInput": "oci-dir:layout", "imageID": CONFIG, "layers": []}
    descriptor = {
        "name": "grype",
        "version": "0.110.0",
        "configuration": {"output": ["json"]},
        "db": {"status": {"schemaVersion": "v6.1.3", "built": "2026-11-20T00:22:08Z", "valid": True}},
    }
    source = {"type": "image", "target": target}
    return {"matches": list(matches), "source": source, "distro": {}, "descriptor": descriptor, **more}


def match(name="CVE-2026-1111", severity="High", package="openssl", version="3.0.11-1", fixed=("3.0.15-1",)):
    return {
        "vulnerability": {
            "id": name,
            "dataSource": "https://security.example/1",
            "severity": severity,
            "cvss": [],
            "fix": {"versions": list(fixed), "state": "fixed" if fixed else "not-fixed"},
            "risk": 1.5,
        },
        "relatedVulnerabilities": [{"id": "CVE-2026-1111"}, {"id": "DSA-1-1"}],
        "matchDetails": [],
        "artifact": {
            "id": "a1",
            "name": package,
            "version": version,
            "type": "deb",
            "purl": f"pkg:deb/debian/{package}@{version}?arch=arm64&distro=debian-12",
        },
    }


def trivy(*vulnerabilities, **more):
    result = {"Target": "layout (debian 12.5)", "Class": "os-pkgs", "Type": "debian"}
    return {
        "SchemaVersion": 2,
        "Trivy": {"Version": "0.69.1"},
        "ArtifactName": "layout",
        "ArtifactType": "container_image",
        "Metadata": {"ImageID": CONFIG, "DiffIDs": []},
        "Results": [{**result, "Vulnerabilities": list(vulnerabilities)}, {"Target": "app", "Class": "lang-pkgs"}],
        **more,
    }  # fmt: skip


TRIVIAL = {
    "VulnerabilityID": "CVE-2026-1111",
    "VendorIDs": ["DSA-1-1"],
    "PkgName": "openssl",
    "PkgIdentifier": {"PURL": "pkg:deb/debian/openssl@3.0.11-1?arch=arm64"},
    "InstalledVersion": "3.0.11-1",
    "FixedVersion": "3.0.15-1, 3.0.16-1",
    "Status": "fixed",
    "Severity": "HIGH",
}


def osv(*packages):
    return {
        "results": [{"source": {"path": "/var/lib/dpkg/status", "type": "os"}, "packages": list(packages)}]
    }


def advisory(name, aliases=(), severity=None, fixed=()):
    events = [{"introduced": "0"}, *({"fixed": each} for each in fixed)]
    ranges = [{"type": "ECOSYSTEM", "events": events}]
    affected = [{"package": {"ecosystem": "Debian:12", "name": "openssl"}, "ranges": ranges}]
    specific = {"database_specific": {"severity": severity}} if severity else {}
    return {"id": name, "aliases": list(aliases), "affected": affected, **specific}


OPENSSL = {"name": "openssl", "version": "3.0.11-1", "ecosystem": "Debian:12"}


def parsed(kind, document):
    return FORMATS[kind](json.dumps(document).encode())


def refused(kind, text):
    with pytest.raises(ScanRefused) as caught:
        FORMATS[kind](text if isinstance(text, bytes) else json.dumps(text).encode())
    return str(caught.value)


def test_a_report_of_grype_says_what_was_found_by_whom_and_in_which_image():
    report = parsed(
        "grype", grype(match(), match("CVE-2026-2222", "Negligible", fixed=()), ignoredMatches=[{}])
    )
    assert (report.scanner, report.database, report.image) == (
        "grype 0.110.0",
        "2026-11-20T00:22:08Z",
        CONFIG,
    )
    assert report.suppressed == 1
    first, second = report.findings
    assert first == Finding(
        "CVE-2026-1111",
        Rating.HIGH,
        "openssl",
        "3.0.11-1",
        "pkg:deb/debian/openssl@3.0.11-1?arch=arm64&distro=debian-12",
        ("3.0.15-1",),
        ("DSA-1-1",),
    )
    assert (second.rating, second.fixed) == (Rating.NEGLIGIBLE, ())


def test_the_date_of_an_older_database_of_grype_is_read_too():
    document = grype()
    document["descriptor"]["db"] = {"built": "2025-01-01T00:00:00Z", "schemaVersion": 5, "error": None}
    assert parsed("grype", document).database == "2025-01-01T00:00:00Z"


def test_a_folder_that_grype_scanned_is_no_image():
    document = grype(source={"type": "directory", "target": "/layout"})
    assert parsed("grype", document).image == ""


def test_a_report_of_trivy_says_the_same():
    report = parsed("trivy", trivy(TRIVIAL))
    assert (report.scanner, report.database, report.image) == ("trivy 0.69.1", "", CONFIG)
    (found,) = report.findings
    assert (found.rating, found.fixed, found.aliases) == (Rating.HIGH, ("3.0.15-1", "3.0.16-1"), ("DSA-1-1",))


@pytest.mark.parametrize("results", [None, [], [{"Target": "layout", "Vulnerabilities": None}]])
def test_trivy_may_find_nothing(results):
    assert parsed("trivy", trivy(Results=results)).findings == ()


def test_advisories_of_one_group_are_one_finding_that_its_cve_names():
    package = {
        "package": OPENSSL,
        "vulnerabilities": [advisory("DSA-1-1", ["CVE-2026-1111"], fixed=["3.0.15-1"]), advisory("GHSA-x")],
        "groups": [{"ids": ["DSA-1-1", "GHSA-x"], "aliases": ["CVE-2026-1111"], "max_severity": "7.5"}],
    }
    (found,) = parsed("osv", osv(package)).findings
    assert found == Finding(
        "CVE-2026-1111", Rating.HIGH, "openssl", "3.0.11-1", "", ("3.0.15-1",), ("DSA-1-1", "GHSA-x")
    )


def test_an_advisory_without_a_group_or_score_is_rated_by_the_words_of_its_database():
    package = {"package": OPENSSL, "vulnerabilities": [advisory("GHSA-y", severity="MODERATE")]}
    (found,) = parsed("osv", osv(package)).findings
    assert (found.id, found.rating) == ("GHSA-y", Rating.MEDIUM)


def test_a_database_may_put_anything_where_others_put_a_word():
    package = {"package": OPENSSL, "vulnerabilities": [advisory("GHSA-y", severity=[{"type": "CVSS_V3"}])]}
    (found,) = parsed("osv", osv(package)).findings
    assert found.rating is Rating.UNKNOWN


def test_the_same_finding_twice_counts_once_with_the_worse_rating():
    report = parsed("grype", grype(match(severity="Low"), match(severity="Critical"), match(package="curl")))
    assert [(each.package, each.rating) for each in report.findings] == [
        ("openssl", Rating.CRITICAL),
        ("curl", Rating.HIGH),
    ]
    assert dict(counted(report.findings)) == {Rating.CRITICAL: 1, Rating.HIGH: 1}


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        ("grype", b"", "is not JSON"),
        ("grype", b"\xff\xfe", "is not JSON"),
        ("grype", b"[]", "not of its format: the document"),
        ("grype", {"descriptor": {}}, "matches: Field required"),
        ("grype", grype({}), "matches.0.vulnerability: Field required"),
        ("grype", grype({**match(), "artifact": {"name": 3}}), "matches.0.artifact.name"),
        ("grype", b'{"matches": [], "matches": [], "descriptor": {}}', "key matches stands twice"),
        ("grype", b'{"matches": [NaN], "descriptor": {}}', "NaN is no number"),
        ("grype", b"[" * 100_000, "nested too deeply"),
        ("grype", grype(match(name="")), "the name of a vulnerability cannot be one"),
        ("grype", grype(match(name="CVE-1\nCVE-2")), "the name of a vulnerability cannot be one"),
        ("grype", grype(match(package="a\x1b[2J")), "the name of a package cannot be one"),
        ("grype", grype(match(name="C" * 5000)), "String should have at most 4000 characters"),
        ("trivy", {**trivy(), "SchemaVersion": 3}, "SchemaVersion: Input should be 2"),
        ("trivy", [], "not of its format"),
        ("trivy", trivy({"PkgName": "a"}), "Results.0.Vulnerabilities.0.VulnerabilityID"),
        ("osv", {}, "results: Field required"),
        ("osv", osv({"package": {}}), "packages.0.package.name"),
        ("trivy", grype(match()), "SchemaVersion: Field required"),
        ("osv", trivy(TRIVIAL), "results: Field required"),
        ("grype", osv(), "matches: Field required"),
    ],
)
def test_what_is_not_of_the_format_is_refused_in_words(kind, text, words):
    said = refused(kind, text)
    assert words in said
    assert "\n" not in said


@pytest.mark.parametrize("kind", sorted(FORMATS))
@given(data=st.data())
def test_no_json_crashes_a_reader(kind, data):
    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["matches", "results", "Results", "SchemaVersion", "id"]), inner
            )
        ),
        max_leaves=8,
    )
    document = data.draw(values)
    with suppress(ScanRefused):
        parsed(kind, document)


@pytest.mark.parametrize(
    ("word", "rating"),
    [("Critical", 5), ("important", 4), ("MODERATE", 3), ("low", 2), ("Negligible", 1), ("", 0), ("odd", 0)],
)
def test_words_of_scanners_are_one_scale(word, rating):
    assert rating_of(word) == rating


@pytest.mark.parametrize(
    ("score", "rating"),
    [("9.0", 5), ("8.9", 4), ("7", 4), ("4.0", 3), ("0.1", 2), ("0.0", 1), ("", 0), ("nan", 0), ("11", 0), ("-1", 0)],
)  # fmt: skip
def test_scores_fall_into_the_bands_of_cvss(score, rating):
    assert rating_of_score(score) == rating


@pytest.mark.parametrize(
    ("status", "built"),
    [
        (b'{"schemaVersion": "v6.1.3", "built": "2026-11-20T00:22:08Z", "valid": true}', "2026-11-20T00:22:08Z"),
        (b'{"Version": "0.69", "VulnerabilityDB": {"UpdatedAt": "2026-11-20T00:22:08.1Z"}}', "2026-11-20T00:22:08.1Z"),
        (b"Application: grype", ""),
        (b"{}", ""),
    ],
)  # fmt: skip
def test_the_age_of_a_database_is_read_where_a_scanner_tells_it(status, built):
    assert database_built(status) == built
