"""Statements of OpenVEX and CycloneDX: which findings they speak of, and which of several counts.

The documents are written by hand after OpenVEX 0.2 and the vulnerabilities of CycloneDX 1.6.
"""

import json

import pytest

from macfleet.facts.scan import Finding, Rating
from macfleet.facts.scan_purl import ImageNames, PackageUrl, parse_purl, purl
from macfleet.facts.scan_reading import ScanRefused
from macfleet.facts.scan_vex import parse_vex

MANIFEST, INDEX, CONFIG = (f"sha256:{digit * 64}" for digit in "214")
IMAGE = ImageNames("registry.example/llama-server", frozenset((INDEX, MANIFEST, CONFIG)))
OPENSSL = "pkg:deb/debian/openssl@3.0.11-1?arch=arm64&distro=debian-12"
FOUND = Finding("CVE-2026-1111", Rating.HIGH, "openssl", "3.0.11-1", OPENSSL, (), ("DSA-1-1",))
BARE = Finding("CVE-2026-1111", Rating.HIGH, "openssl", "3.0.11-1")


def openvex(*statements, **more):
    return {
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": "https://openvex.dev/docs/example/vex-1",
        "author": "Release team",
        "timestamp": "2026-11-01T08:00:00.647787998Z",
        "version": 1,
        "statements": list(statements),
        **more,
    }


def statement(*products, status="not_affected", name="CVE-2026-1111", **more):
    why = {"justification": "vulnerable_code_not_in_execute_path"} if status == "not_affected" else {}
    return {
        "vulnerability": {"name": name, "aliases": ["GHSA-1"]},
        "products": list(products),
        "status": status,
        **why,
        **more,
    }


def cyclonedx(*vulnerabilities, **more):
    component = {
        "type": "container",
        "name": "engine",
        "bom-ref": "image",
        "hashes": [{"alg": "SHA-256", "content": MANIFEST.removeprefix("sha256:")}],
        "components": [{"type": "library", "name": "openssl", "bom-ref": "ssl", "purl": OPENSSL}],
    }
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "metadata": {"timestamp": "2026-11-01T00:00:00Z", "authors": [{"name": "Release team"}]},
        "components": [component],
        "vulnerabilities": list(vulnerabilities),
        **more,
    }


def vulnerability(ref="ssl", state="not_affected", **analysis):
    said = {"justification": "code_not_reachable"} if state == "not_affected" else {}
    return {
        "id": "CVE-2026-1111",
        "references": [{"id": "GHSA-1", "source": {"name": "advisories"}}],
        "analysis": {"state": state, **said, **analysis},
        "affects": [{"ref": ref}],
    }


def parsed(document):
    return parse_vex(json.dumps(document).encode())


def speaks_of(document, finding=FOUND):
    (found,) = parsed(document)
    return found.concerns(finding, IMAGE)


@pytest.mark.parametrize(
    ("product", "meant"),
    [
        ({"@id": "pkg:deb/debian/openssl@3.0.11-1?arch=arm64"}, True),
        ({"@id": "pkg:deb/debian/openssl"}, True),
        ({"@id": "pkg:deb/debian/OpenSSL@3.0.11-1"}, True),
        ("pkg:deb/debian/openssl@3.0.11-1", True),
        ({"identifiers": {"purl": "pkg:deb/debian/openssl@3.0.11-1"}}, True),
        ({"@id": "pkg:deb/debian/openssl@3.0.12-1"}, False),
        ({"@id": "pkg:deb/ubuntu/openssl@3.0.11-1"}, False),
        ({"@id": "pkg:apk/debian/openssl@3.0.11-1"}, False),
        ({"@id": f"pkg:oci/llama-server@{MANIFEST}"}, True),
        ({"@id": f"pkg:oci/llama-server@{INDEX.replace(':', '%3A')}?arch=arm64"}, True),
        ({"hashes": {"sha-256": MANIFEST.removeprefix("sha256:")}}, True),
        ({"@id": f"pkg:oci/llama-server@sha256:{'9' * 64}"}, False),
        ({"@id": "pkg:oci/llama-server"}, False),
        ({"@id": "pkg:oci/llama-server?repository_url=registry.example/llama-server"}, True),
        ({"@id": "pkg:oci/llama-server?repository_url=registry.example/other"}, False),
        ({"@id": f"pkg:oci/e@{MANIFEST}", "subcomponents": [{"@id": "pkg:deb/debian/openssl"}]}, True),
        ({"@id": f"pkg:oci/e@{MANIFEST}", "subcomponents": [{"@id": "pkg:deb/debian/curl"}]}, False),
        # A part of another product is not the same package in this one.
        ({"@id": "pkg:oci/other@sha256:9", "subcomponents": [{"@id": "pkg:deb/debian/openssl"}]}, False),
        ({"@id": "https://products.example/engine"}, False),
        ({}, False),
    ],
)
def test_a_statement_speaks_of_the_packages_and_images_it_names(product, meant):
    assert speaks_of(openvex(statement(product))) is meant


def test_a_finding_without_a_package_url_is_met_by_name_and_version():
    assert speaks_of(openvex(statement("pkg:deb/debian/openssl@3.0.11-1")), BARE)
    assert not speaks_of(openvex(statement("pkg:deb/debian/openssl@3.0.12-1")), BARE)
    assert not speaks_of(openvex(statement("pkg:deb/debian/libssl@3.0.11-1")), BARE)


@pytest.mark.parametrize(
    ("name", "meant"), [("CVE-2026-1111", True), ("DSA-1-1", True), ("CVE-2026-9", False)]
)
def test_a_vulnerability_is_met_by_any_of_its_names(name, meant):
    assert speaks_of(openvex(statement("pkg:deb/debian/openssl", name=name))) is meant


def test_the_justification_is_kept_with_what_was_added_to_it():
    (found,) = parsed(openvex(statement("pkg:deb/a/b", impact_statement="No TLS is spoken")))
    assert found.why == "vulnerable_code_not_in_execute_path (No TLS is spoken)"
    assert (found.authors, found.clears) == (("Release team",), True)


def test_statements_come_in_the_order_of_their_time():
    first, second = parsed(
        openvex(
            statement("pkg:deb/a/b", timestamp="2026-11-02T00:00:00Z"),
            statement("pkg:deb/a/b", status="affected", timestamp="2026-10-01T00:00:00+02:00"),
        )
    )
    assert (first.status, second.status) == ("affected", "not_affected")
    assert not first.clears


def test_vulnerabilities_and_products_may_be_plain_text_as_in_older_documents():
    old = {"vulnerability": "CVE-2026-1111", "products": [OPENSSL], "status": "fixed"}
    (found,) = parsed(openvex(old, **{"@context": "https://openvex.dev/ns"}))
    assert found.concerns(FOUND, IMAGE)
    assert (found.clears, found.why) == (True, "fixed")


@pytest.mark.parametrize(
    ("ref", "meant"),
    [
        ("ssl", True),
        ("image", True),
        (OPENSSL, True),
        (f"urn:cdx:3e671687-395b-41f5-a30f-a58921a69b79/1#{OPENSSL}", True),
        ("urn:cdx:3e671687-395b-41f5-a30f-a58921a69b79/1#elsewhere", False),
        ("nowhere", False),
    ],
)
def test_cyclonedx_refers_to_components_and_to_other_bills(ref, meant):
    assert speaks_of(cyclonedx(vulnerability(ref))) is meant


@pytest.mark.parametrize(
    ("state", "more", "clears"),
    [
        ("not_affected", {}, True),
        ("false_positive", {"detail": "another openssl"}, True),
        ("resolved", {}, True),
        ("resolved_with_pedigree", {}, True),
        ("exploitable", {}, False),
        ("in_triage", {}, False),
    ],
)
def test_states_of_cyclonedx_mean_those_of_vex(state, more, clears):
    (found,) = parsed(cyclonedx(vulnerability(state=state, **more)))
    assert found.clears is clears
    assert {"CVE-2026-1111", "GHSA-1"} <= found.vulnerability


def test_a_vulnerability_without_an_analysis_says_nothing():
    assert parsed(cyclonedx({"id": "CVE-2026-1111", "affects": [{"ref": "ssl"}]})) == ()


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "neither OpenVEX (@context) nor CycloneDX"),
        ([], "not of its format"),
        (openvex(statement("a", status="harmless")), "statements.0.status"),
        (openvex({**statement("a"), "justification": ""}), "called not affected without a justification"),
        (openvex(statement("a"), timestamp="yesterday"), "yesterday is no time of a statement"),
        (openvex({"vulnerability": {"name": "CVE-1"}, "status": "fixed"}), "products: Field required"),
        (openvex(statement("a"), author=None), "author"),
        (openvex(statement("a", name="")), "the name of a vulnerability cannot be one"),
        (cyclonedx(vulnerability(state="unknown")), "the unknown state unknown"),
        (cyclonedx(vulnerability(state="false_positive")), "called false_positive without a justification"),
        (cyclonedx(vulnerability(), metadata={}), "an empty text is no time"),
        (cyclonedx(vulnerabilities={}), "vulnerabilities"),
    ],
)
def test_a_document_that_is_not_whole_is_refused_in_words(document, words):
    with pytest.raises(ScanRefused) as caught:
        parsed(document)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("pkg:deb/debian/openssl@3.0.11-1?arch=arm64", PackageUrl("deb", "debian/openssl", "3.0.11-1", {"arch": "arm64"})),
        ("pkg:npm/%40angular/core@1.0#lib", PackageUrl("npm", "@angular/core", "1.0")),
        ("pkg:deb/debian/libstdc%2B%2B6@12.2.0-14", PackageUrl("deb", "debian/libstdc++6", "12.2.0-14")),
        ("pkg:generic/name", PackageUrl("generic", "name")),
        ("pkg:generic/", None),
        ("pkg:", None),
        ("openssl", None),
    ],
)  # fmt: skip
def test_package_urls_are_taken_apart(text, parts):
    assert parse_purl(text) == parts


def test_a_package_url_that_is_written_is_read_as_the_same():
    text = purl(
        "deb", "debian/libstdc++6", "12.2.0-14~x+1", {"arch": "arm64", "distro": "debian-12", "epoch": ""}
    )
    assert text == "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14~x%2B1?arch=arm64&distro=debian-12"
    assert parse_purl(text) == PackageUrl(
        "deb", "debian/libstdc++6", "12.2.0-14~x+1", {"arch": "arm64", "distro": "debian-12"}
    )
