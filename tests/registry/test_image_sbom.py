"""`macfleet image sbom` reads the layers of a real registry."""

import json

import pytest

from macfleet.cli.main import main

STATUS = b"Package: libssl3\nStatus: install ok installed\nArchitecture: arm64\nVersion: 3.0.11-1\n"
WEIGHTS = f"files:\n  - {{path: /m/small.gguf, size: 64, sha256: {'ab' * 32}}}\n"


@pytest.fixture
def macfleet(tmp_path, pusher, registry, capsys):
    files = {"var/lib/dpkg/status": STATUS, "usr/lib/os-release": b"ID=debian\nVERSION_ID=12\n"}
    pusher.image("billed", tag="v1", files=files)
    (tmp_path / "macfleet.yml").write_text("name: home fleet\n")
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory/hosts.yml").write_text(
        "all: {hosts: {mac-01: {ansible_host: 203.0.113.1, arms: [container], environment: staging}}}\n"
    )
    (tmp_path / "images.yml").write_text(
        f"images:\n  engine:\n    reference: '{registry}/billed:v1'\n"
        f"    base: {{name: 'registry.example/debian:12', digest: 'sha256:{'a' * 64}'}}\n"
        f"registries:\n  '{registry}': {{plain_http: true}}\n"
    )
    (tmp_path / "weights.lock").write_text(WEIGHTS)

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--fleet", str(tmp_path)])
        told = capsys.readouterr()
        return ended.value.code, told.out, told.err

    return run


def test_a_release_is_billed_with_its_packages_and_weights(macfleet, tmp_path):
    assert macfleet("image", "sbom")[0] == 2  # nothing is pinned yet
    assert macfleet("image", "pin")[0] == 0
    code, out, _ = macfleet("image", "sbom")
    document = json.loads(out)
    assert (code, document["metadata"]["component"]["name"]) == (0, "home fleet")
    engine, weights = document["components"]
    (package,) = engine["components"]
    assert package["purl"] == "pkg:deb/debian/libssl3@3.0.11-1?arch=arm64&distro=debian-12"
    assert engine["pedigree"]["ancestors"][0]["name"] == "registry.example/debian:12"
    assert weights["name"] == "small.gguf"
    target = tmp_path / "release.cdx.json"
    assert macfleet("image", "sbom", "--environment", "staging", "--to", str(target))[:2] == (0, "")
    assert target.read_text() == out


def test_an_environment_that_no_node_is_in_is_refused_with_the_nearest(macfleet):
    assert macfleet("image", "pin")[0] == 0
    code, _, err = macfleet("image", "sbom", "--environment", "stagin")
    assert (code, 'did you mean "staging"?' in err) == (2, True)
