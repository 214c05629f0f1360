"""A bill of materials holds what CycloneDX 1.6 asks for, and is the same for the same release."""

import json
import re
from dataclasses import replace

import pytest

from macfleet.facts.scan_packages import Package, packages_in, system_of
from macfleet.facts.scan_purl import parse_purl
from macfleet.gates import WeightsFile
from macfleet.model.image import Blob, ResolvedImage
from macfleet.reports.sbom import ShippedImage, sbom

IMAGE = ResolvedImage(
    "registry.example/team/llama-server:b10434",
    "registry.example/team/llama-server",
    *(f"sha256:{digit * 64}" for digit in "123"),
    "linux/arm64",
    (Blob(f"sha256:{'4' * 64}", 10),),
)
OPENSSL = Package("deb", "libssl3", "1:3.0.11-1~deb12u2", "arm64", "openssl")
SHIPPED = ShippedImage(
    "engine", IMAGE, "registry.example/debian:12", f"sha256:{'a' * 64}", (OPENSSL,), "debian 12"
)
WEIGHTS = WeightsFile("/m/small.gguf", 64, "ab" * 32, "c0ffee", "registry.example/models")
MADE = {"version": "0.1.0", "at": "2026-11-23T04:12:05Z"}


def bill(images=(SHIPPED,), weights=(WEIGHTS,), made=MADE):
    return sbom("home fleet", "r-0123456789", images, weights, made)


def test_a_bill_names_the_release_its_images_packages_and_weights():
    document = bill()
    assert (document["bomFormat"], document["specVersion"], document["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(
        r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
        document["serialNumber"],
    )
    assert document["metadata"]["timestamp"] == "2026-11-23T04:12:05Z"
    release = document["metadata"]["component"]
    assert (release["type"], release["name"], release["version"]) == (
        "application",
        "home fleet",
        "r-0123456789",
    )
    engine, weights = document["components"]
    assert (engine["type"], engine["name"], engine["version"]) == ("container", "engine", "b10434")
    assert engine["hashes"] == [{"alg": "SHA-256", "content": "2" * 64}]
    assert parse_purl(engine["purl"]).version == IMAGE.manifest
    assert parse_purl(engine["purl"]).qualifiers["repository_url"] == IMAGE.repository
    assert engine["pedigree"]["ancestors"][0]["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    (package,) = engine["components"]
    assert package["purl"] == (
        "pkg:deb/debian/libssl3@1:3.0.11-1~deb12u2?arch=arm64&distro=debian-12&upstream=openssl"
    )
    assert (weights["type"], weights["version"]) == ("machine-learning-model", "c0ffee")
    assert weights["hashes"] == [{"alg": "SHA-256", "content": "ab" * 32}]
    top, *rest = document["dependencies"]
    assert top["dependsOn"] == [each["ref"] for each in rest] == [engine["bom-ref"], weights["bom-ref"]]


def references(value):
    if isinstance(value, dict):
        yield from ([value["bom-ref"]] if "bom-ref" in value else [])
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def test_every_reference_stands_once_though_images_share_packages():
    other = replace(SHIPPED, image=replace(IMAGE, platform="linux/amd64"))
    found = list(references(bill((SHIPPED, other, replace(SHIPPED, name="loadgen")))))
    assert len(found) == len(set(found)) == 1 + 3 * 2 + 1


def test_the_same_release_gives_the_same_bytes_and_another_another_serial():
    assert json.dumps(bill()) == json.dumps(bill())
    newer = replace(SHIPPED, packages=(replace(OPENSSL, version="1:3.0.15-1"),))
    assert bill()["serialNumber"] != bill((newer,))["serialNumber"]


def test_what_nobody_recorded_is_left_out():
    document = bill((ShippedImage("engine", IMAGE),), (), {**MADE, "at": ""})
    (engine,) = document["components"]
    assert not {"pedigree", "components"} & set(engine)
    assert "timestamp" not in document["metadata"]


def test_an_image_pinned_by_digest_alone_has_it_for_a_version():
    bare = replace(IMAGE, reference=f"registry.example/team/llama-server@{IMAGE.index}")
    assert bill((ShippedImage("engine", bare),))["components"][0]["version"] == IMAGE.manifest


def test_packages_of_an_unknown_system_are_of_the_one_its_database_is_from():
    musl = ShippedImage("engine", IMAGE, packages=(Package("apk", "musl", "1.2.5-r0", "aarch64"),))
    (package,) = bill((musl,))["components"][0]["components"]
    assert package["purl"] == "pkg:apk/alpine/musl@1.2.5-r0?arch=aarch64"


DPKG = b"""Package: libssl3
Status: install ok installed
Architecture: arm64
Source: openssl (3.0.11-1)
Version: 3.0.11-1~deb12u2
Description: Secure Sockets Layer toolkit
 Version: not a field
 .

Package: gone
Status: deinstall ok config-files
Version: 1

Package: curl
Status: hold ok installed
Version: 7.88.1-10
"""
APK = b"C:Q1abc=\nP:musl\nV:1.2.5-r0\nA:aarch64\no:musl\nF:lib\nR:ld.so\n\nP:libcrypto3\nV:3.3.2-r0\nA:aarch64\no:openssl\n"


@pytest.mark.parametrize(
    ("path", "text", "packages"),
    [
        (
            "var/lib/dpkg/status",
            DPKG,
            [Package("deb", "curl", "7.88.1-10"), Package("deb", "libssl3", "3.0.11-1~deb12u2", "arm64", "openssl")],
        ),
        ("var/lib/dpkg/status.d/base", b"Package: base-files\nVersion: 12.4\n", [Package("deb", "base-files", "12.4")]),
        ("var/lib/dpkg/status.d/base.md5sums", b"Package: base-files\n", []),
        (
            "lib/apk/db/installed",
            APK,
            [Package("apk", "libcrypto3", "3.3.2-r0", "aarch64", "openssl"), Package("apk", "musl", "1.2.5-r0", "aarch64")],
        ),
        ("var/lib/dpkg/status", b"", []),
        ("var/lib/dpkg/status", b"\xff\xfe\x00", []),
        ("etc/hosts", DPKG, []),
    ],
)  # fmt: skip
def test_packages_are_read_from_the_databases_of_dpkg_and_apk(path, text, packages):
    assert list(packages_in(path, text)) == packages


@pytest.mark.parametrize(
    ("text", "system"),
    [
        (b'PRETTY_NAME="Debian"\nID=debian\nVERSION_ID="12"\n', "debian 12"),
        (b"ID=wolfi\n", "wolfi"),
        (b"NAME=x\n", ""),
        (b"", ""),
    ],
)
def test_the_system_is_read_from_os_release(text, system):
    assert system_of(text) == system
