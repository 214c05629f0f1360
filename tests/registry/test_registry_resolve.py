"""What a reference means, asked of a real registry."""

import json

import pytest
from image_pusher import ATTESTATION, entry, index, layer, sha256

from macfleet.model.diagnostic import MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.registry import RegistryResolver


@pytest.fixture
def resolver(registry, clock):
    resolver = RegistryResolver(clock=clock, plain_http=[registry])
    yield resolver
    resolver.close()


def refusal(resolver, reference, platform="linux/arm64"):
    with pytest.raises(MacfleetError) as caught:
        resolver.resolve(reference, platform)
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


@pytest.mark.parametrize("docker", [False, True], ids=["oci", "docker"])
def test_an_index_resolves_to_the_manifest_of_the_platform(docker, pusher, resolver):
    name = f"multi-{docker}".lower()
    arm = pusher.image(name, platform="linux/arm64/v8", docker=docker, labels={"engine": "b1"})
    amd = pusher.image(name, platform="linux/amd64", docker=docker)
    note = entry(amd, "unknown/unknown", ATTESTATION)
    top = index(note, entry(amd, "linux/amd64"), entry(arm, "linux/arm64/v8"), docker=docker)
    pusher.manifest(name, top, "v1")

    found = resolver.resolve(f"{pusher.host}/{name}:v1", "linux/arm64")

    document = json.loads(arm)
    assert found.index == sha256(top)
    assert found.manifest == sha256(arm)
    assert found.config == document["config"]["digest"]
    assert [layer.digest for layer in found.layers] == [each["digest"] for each in document["layers"]]
    assert found.platform == "linux/arm64"
    assert found.offered == ("linux/amd64", "linux/arm64")
    assert found.labels == {"engine": "b1"}
    assert found.pinned == f"{pusher.host}/{name}@{sha256(arm)}"


@pytest.mark.parametrize("docker", [False, True], ids=["oci", "docker"])
def test_a_single_platform_image_is_its_own_index(docker, pusher, resolver):
    manifest = pusher.image(f"single-{docker}".lower(), tag="v1", docker=docker)
    found = resolver.resolve(f"{pusher.host}/single-{docker}:v1".lower(), "linux/arm64")
    assert found.index == found.manifest == sha256(manifest)
    assert found.diff_ids == (layer({"hello": b"linux/arm64"})[0],)
    assert found.created == "2026-01-02T03:04:05Z"


def test_a_pinned_reference_resolves_to_itself(pusher, resolver):
    manifest = pusher.image("by-digest")
    reference = f"{pusher.host}/by-digest@{sha256(manifest)}"
    assert resolver.resolve(reference, "linux/arm64").pinned == reference


def test_an_index_inside_an_index_is_looked_into(pusher, resolver):
    manifest = pusher.image("nested")
    inner = index(entry(manifest, "linux/arm64"))
    pusher.manifest("nested", inner)
    pusher.manifest("nested", index(entry(inner, "")), "v1")
    assert resolver.resolve(f"{pusher.host}/nested:v1", "linux/arm64").manifest == sha256(manifest)


def test_a_foreign_platform_is_held_and_says_what_is_offered(pusher, resolver):
    manifest = pusher.image("foreign", tag="v1", platform="linux/amd64")
    pusher.manifest("foreign", index(entry(manifest, "linux/amd64")), "index")
    for tag in ("v1", "index"):
        found = refusal(resolver, f"{pusher.host}/foreign:{tag}")
        assert (found.code, found.exit_code) == ("E0603", ExitCode.HELD)
        assert f"{pusher.host}/foreign:{tag} is not built for linux/arm64" in found.summary
        assert "linux/amd64" in found.summary
        assert "--platform linux/arm64" in found.mend


def test_an_index_that_lies_about_the_platform_is_found_out(pusher, resolver):
    manifest = pusher.image("lying", platform="linux/amd64")
    pusher.manifest("lying", index(entry(manifest, "linux/arm64")), "v1")
    found = refusal(resolver, f"{pusher.host}/lying:v1")
    assert found.code == "E0603"
    assert "config says linux/amd64" in found.why


def test_only_attestations_are_no_platform_at_all(pusher, resolver):
    manifest = pusher.image("attested")
    pusher.manifest("attested", index(entry(manifest, "unknown/unknown", ATTESTATION)), "v1")
    assert "no platform at all" in refusal(resolver, f"{pusher.host}/attested:v1").summary


@pytest.mark.parametrize("name", ["no-such-image:v1", f"no-such-image@{sha256(b'')}"])
def test_a_missing_image_is_held(name, registry, resolver):
    found = refusal(resolver, f"{registry}/{name}")
    assert (found.code, found.exit_code) == ("E0602", ExitCode.HELD)


@pytest.mark.parametrize(
    ("reference", "platform", "code"),
    [
        ("Upper/Case", "linux/arm64", "E0601"),
        ("registry.example/name", "linux/arm64", "E0601"),
        ("registry.example/name:tag", "arm64", "E0609"),
        ("registry.example/name:tag", "linux//v8", "E0609"),
    ],
)
def test_what_the_user_wrote_wrong_is_a_usage_error(reference, platform, code, resolver):
    found = refusal(resolver, reference, platform)
    assert (found.code, found.exit_code) == (code, ExitCode.USAGE)


def test_a_registry_that_is_not_there_is_held_after_several_tries(clock):
    resolver = RegistryResolver(clock=clock, plain_http=["127.0.0.1:9"])
    found = refusal(resolver, "127.0.0.1:9/name:v1")
    assert (found.code, found.exit_code) == ("E0606", ExitCode.HELD)
    assert clock.slept == [0.25, 0.5, 1.0]


def test_a_registry_without_tls_is_not_spoken_to_unless_told_so(pusher, clock):
    pusher.image("plain", tag="v1")
    resolver = RegistryResolver(clock=clock)
    found = refusal(resolver, f"{pusher.host}/plain:v1")
    assert found.code == "E0606"
    assert "plain_http: true" in found.mend
