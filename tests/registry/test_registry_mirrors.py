"""Mirrors of the controller: asked first, in order, believed by the digest alone, told of when passed over."""

from dataclasses import dataclass

import pytest
from hostile_registry import HostileRegistry
from image_pusher import image, sha256

from macfleet.model.diagnostic import MacfleetError, Severity
from macfleet.model.image import Blob
from macfleet.model.reference import Reference
from macfleet.model.secret import Secret
from macfleet.registry import Credential, OciSources, RegistryResolver

HONEST, BLOBS = image()
DIGEST = sha256(HONEST)
FOREIGN, _ = image(platform="linux/amd64")
PLATFORM = "linux/arm64"


@dataclass
class World:
    """A registry, two mirrors of it, and a client that knows them."""

    registry: HostileRegistry
    first: HostileRegistry
    second: HostileRegistry
    clock: object
    told: list

    def client(self, mirrors=None, credentials=None):
        hosts = [each.host for each in (self.registry, self.first, self.second)]
        known = [self.first.host, self.second.host] if mirrors is None else mirrors
        return RegistryResolver(
            clock=self.clock, plain_http=[*hosts, "127.0.0.1:1"], credentials=credentials,
            mirrors={self.registry.host: known}, told=self.told.append,
        )  # fmt: skip

    @property
    def pinned(self):
        return f"{self.registry.host}/image@{DIGEST}"

    def layers(self, client):
        """The bytes of the image as they would travel to a node."""
        return {
            part.name: b"".join(part.open(0))
            for part in OciSources(client).parts(f"oci:{self.pinned}|{PLATFORM}|{self.pinned}")
            if part.name.startswith("sha256-")
        }


@pytest.fixture
def world(clock):
    with HostileRegistry() as registry, HostileRegistry() as first, HostileRegistry("localhost") as second:
        registry.serve()
        second.serve()
        yield World(registry, first, second, clock, [])


def served(answers):
    return [path for path in answers.paths() if "/blobs/" in path or "/manifests/" in path]


def test_what_a_digest_names_comes_from_the_first_mirror_that_has_it(world):
    client = world.client()
    found = client.resolve(world.pinned, PLATFORM)
    layers = world.layers(client)
    client.close()
    assert (found.pinned, found.reference) == (world.pinned, world.pinned)
    assert {sha256(data) for data in layers.values()} == {layer.digest for layer in found.layers}
    assert world.registry.paths() == []
    assert served(world.first)  # it was asked and had nothing
    [note] = world.told
    assert (note.code, note.severity) == ("E0658", Severity.WARNING)
    assert world.first.host in note.summary
    assert "E0602" in note.summary


def test_what_a_tag_means_is_asked_of_its_own_registry(world):
    world.second.answers["/v2/image/manifests/v1"] = {"body": FOREIGN}
    client = world.client()
    assert client.resolve(f"{world.registry.host}/image:v1", PLATFORM).manifest == DIGEST
    client.close()
    assert world.registry.paths() == ["/v2/image/manifests/v1"]
    assert not [path for path in served(world.second) if path.endswith("/v1")]


def other_manifest(mirror):
    mirror.answers[f"/v2/image/manifests/{DIGEST}"] = {"body": FOREIGN}


def other_blobs(mirror):
    mirror.serve()
    for digest, data in BLOBS.items():
        mirror.answers[f"/v2/image/blobs/{digest}"] = {"body": data[:-1] + bytes([data[-1] ^ 1])}


def broken(mirror):
    mirror.answers = {path: {"status": 503} for path in mirror_paths()}


def refusing(mirror):
    mirror.answers = {path: {"status": 403} for path in mirror_paths()}


def mirror_paths():
    return [f"/v2/image/manifests/{DIGEST}", *(f"/v2/image/blobs/{digest}" for digest in BLOBS)]


@pytest.mark.parametrize(
    ("arrange", "code"),
    [
        pytest.param(other_manifest, "E0604", id="another manifest"),
        pytest.param(other_blobs, "E0604", id="a changed byte"),
        pytest.param(broken, "E0606", id="503"),
        pytest.param(refusing, "E0605", id="403"),
    ],
)
def test_a_mirror_that_lies_or_fails_is_named_passed_over_and_asked_no_more(world, arrange, code):
    arrange(world.first)
    client = world.client()
    assert client.resolve(world.pinned, PLATFORM).manifest == DIGEST
    asked = len(world.first.paths())
    assert world.layers(client)
    client.close()
    assert len(world.first.paths()) == asked
    [note] = world.told
    assert note.summary.startswith(f"mirror {world.first.host} was passed over for image: ")
    assert note.summary.endswith(f"({code})")


def test_a_layer_of_a_mirror_is_passed_on_only_when_all_of_it_is_proven(world):
    layer = next(digest for digest, data in BLOBS.items() if data[:2] == b"\x1f\x8b")
    data = BLOBS[layer]
    world.first.answers[f"/v2/image/blobs/{layer}"] = {"body": [data[:20], b"lies"]}
    client = world.client()
    own = Reference.parse(world.pinned)
    assert b"".join(client.layer(own, Blob(layer, len(data)))) == data
    client.close()
    assert served(world.first) == [f"/v2/image/blobs/{layer}"]
    assert served(world.second) == [f"/v2/image/blobs/{layer}"]


def test_a_mirror_that_is_down_costs_a_few_tries_and_the_registry_answers(world):
    client = world.client(mirrors=["127.0.0.1:1"])
    assert client.resolve(world.pinned, PLATFORM).manifest == DIGEST
    assert client.places(f"{world.registry.host}/image") == (world.registry.host,)
    client.close()
    assert sum(world.clock.slept) <= 1
    assert [note.code for note in world.told] == ["E0658"]


def test_a_mirror_may_keep_repositories_below_a_folder(world):
    world.first.serve("proxy/image")
    client = world.client(mirrors=[f"{world.first.host}/proxy"])
    assert client.places(f"{world.registry.host}/image") == (world.first.host, world.registry.host)
    assert client.resolve(world.pinned, PLATFORM).manifest == DIGEST
    client.close()
    assert f"/v2/proxy/image/manifests/{DIGEST}" in world.first.paths()
    assert world.registry.paths() == []


def test_each_place_gets_its_own_login_and_no_other(world):
    """All of them ask for one; the first mirror has none to get."""
    basic = {"status": 401, "headers": {"WWW-Authenticate": "Basic realm=x"}}
    for each in (world.registry, world.first, world.second):
        each.answers = dict.fromkeys(mirror_paths(), basic)
    logins = {
        world.registry.host: Credential("own", Secret("of-the-registry")),
        world.second.host: Credential("second", Secret("of-the-mirror")),
    }
    client = world.client(credentials=logins)
    with pytest.raises(MacfleetError) as caught:
        client.resolve(world.pinned, PLATFORM)
    client.close()
    assert [each.code for each in caught.value.diagnostics] == ["E0605"]
    assert set(world.first.authorizations()) == {None}
    assert set(world.second.authorizations()) == {None, logins[world.second.host].basic()}
    assert set(world.registry.authorizations()) == {None, logins[world.registry.host].basic()}
