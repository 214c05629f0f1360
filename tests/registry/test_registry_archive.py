"""An image as one tar for `docker load`, every blob proven on the way."""

import hashlib
import io
import json
import random
import tarfile

import pytest
from image_pusher import entry, image, index, layer, sha256

from macfleet.model.diagnostic import MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.registry import OciSources, RegistryResolver

NOISE = random.Random(7).randbytes(700_000)  # noqa: S311 (data that does not compress, nothing secret)
BIG = layer({"big": NOISE, "zeros": bytes(100_000)})
SMALL = layer({"small": b"x"})
NAME = "registry.example/engine:pinned"


@pytest.fixture
def open_source(clock):
    """Return a function that opens an image of a server as a source."""
    resolvers = []

    def opened(host, manifest, platform="linux/arm64", name=NAME):
        resolvers.append(RegistryResolver(clock=clock, plain_http=[host]))
        return OciSources(resolvers[-1]).open(f"oci:{host}/image@{sha256(manifest)}|{platform}|{name}")

    yield opened
    for each in resolvers:
        each.close()


def unpacked(chunks):
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}


def refusal(chunks, got=None):
    got = [] if got is None else got
    with pytest.raises(MacfleetError) as caught:
        got.extend(chunks)
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


@pytest.mark.parametrize("docker", [False, True], ids=["oci", "docker"])
def test_the_tar_is_an_oci_layout_that_classic_stores_read_too(docker, pusher, open_source):
    manifest = pusher.image("image", layers=[BIG, SMALL], docker=docker)
    files = unpacked(open_source(pusher.host, manifest))

    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    (top,) = json.loads(files["index.json"])["manifests"]
    assert top["digest"] == sha256(manifest)
    assert top["size"] == len(manifest)
    assert top["platform"] == {"os": "linux", "architecture": "arm64"}
    assert top["annotations"]["io.containerd.image.name"] == NAME
    assert top["annotations"]["org.opencontainers.image.ref.name"] == "pinned"
    (classic,) = json.loads(files["manifest.json"])
    assert classic["RepoTags"] == [NAME]
    assert [files[path] for path in classic["Layers"]] == [BIG[1], SMALL[1]]
    assert sha256(files[classic["Config"]]) == json.loads(manifest)["config"]["digest"]
    blobs = {path: data for path, data in files.items() if path.startswith("blobs/")}
    assert len(blobs) == 4
    for path, data in blobs.items():
        assert path == f"blobs/sha256/{hashlib.sha256(data).hexdigest()}"


def test_equal_images_give_equal_tars(pusher, open_source):
    manifest = pusher.image("image", layers=[BIG])
    assert b"".join(open_source(pusher.host, manifest)) == b"".join(open_source(pusher.host, manifest))


def test_a_name_by_digest_is_no_tag_for_classic_stores(pusher, open_source):
    manifest = pusher.image("image")
    pinned = f"{pusher.host}/image@{sha256(manifest)}"
    files = unpacked(open_source(pusher.host, manifest, name=pinned))
    assert json.loads(files["manifest.json"])[0]["RepoTags"] == []
    notes = json.loads(files["index.json"])["manifests"][0]["annotations"]
    assert notes == {"io.containerd.image.name": pinned}


def test_only_the_wanted_platform_travels(pusher, open_source):
    arm = pusher.image("image", layers=[BIG])
    amd = pusher.image("image", platform="linux/amd64", layers=[SMALL])
    top = index(entry(amd, "linux/amd64"), entry(arm, "linux/arm64"))
    pusher.manifest("image", top)
    files = unpacked(open_source(pusher.host, top))
    assert f"blobs/{sha256(BIG[1]).replace(':', '/')}" in files
    assert f"blobs/{sha256(SMALL[1]).replace(':', '/')}" not in files


def test_a_layer_that_stands_twice_travels_once(pusher, open_source):
    manifest = pusher.image("image", layers=[SMALL, BIG, SMALL])
    with tarfile.open(fileobj=io.BytesIO(b"".join(open_source(pusher.host, manifest)))) as archive:
        names = archive.getnames()
    assert len(names) == len(set(names))


def layer_answer(hostile, answer):
    manifest = hostile.serve(layers=[BIG])
    hostile.answers[f"/v2/image/blobs/{sha256(BIG[1])}"] = answer
    return manifest


@pytest.mark.parametrize(
    "body",
    [b"", BIG[1][:-1], BIG[1] + b"!", bytes(len(BIG[1])), BIG[1][:-1] + b"!"],
    ids=["empty", "short", "long", "other", "last byte"],
)
def test_a_layer_that_is_not_its_digest_never_makes_a_whole_tar(body, hostile, open_source):
    manifest = layer_answer(hostile, {"body": body})
    got = []
    found = refusal(open_source(hostile.host, manifest), got)
    assert (found.code, found.exit_code) == ("E0604", ExitCode.HELD)
    with pytest.raises(tarfile.ReadError):
        unpacked(got)


def test_an_endless_layer_is_cut_at_its_promised_size(hostile, open_source):
    def endless():
        while True:
            yield bytes(65536)

    manifest = layer_answer(hostile, {"body": endless()})
    assert refusal(open_source(hostile.host, manifest)).code == "E0604"


@pytest.mark.parametrize("understands_ranges", [True, False])
def test_a_layer_that_breaks_off_is_continued_where_it_stopped(understands_ranges, hostile, open_source):
    data = BIG[1]
    breaks = [len(data) // 3, len(data) // 2, len(data)]

    def answer(headers):
        start = int(headers["Range"][6:-1]) if understands_ranges and "Range" in headers else 0
        end = breaks.pop(0)
        return {"status": 206 if start else 200, "body": data[start:end], "length": len(data) - start}

    manifest = layer_answer(hostile, answer)
    files = unpacked(open_source(hostile.host, manifest))
    assert files[f"blobs/{sha256(data).replace(':', '/')}"] == data
    assert breaks == []


def test_a_layer_that_keeps_breaking_off_is_held(hostile, open_source):
    manifest = layer_answer(hostile, {"body": BIG[1][:1000], "length": len(BIG[1])})
    found = refusal(open_source(hostile.host, manifest))
    assert found.code == "E0606"
    assert "keeps breaking off" in found.summary


@pytest.mark.parametrize(
    "source",
    [
        "",
        "oci:",
        "http://registry.example/x|linux/arm64|n",
        f"oci:registry.example/x:tag|linux/arm64|{NAME}",
        f"oci:registry.example/x@{sha256(b'')}|linux/arm64|",
        f"oci:registry.example/x@{sha256(b'')}|linux/arm64",
        f"oci:registry.example/x@{sha256(b'')}|linux/arm64|Not A Name",
    ],
)
def test_a_source_that_names_no_pinned_image_is_a_usage_error(source, clock):
    found = refusal(OciSources(RegistryResolver(clock=clock)).open(source))
    assert (found.code, found.exit_code) == ("E0610", ExitCode.USAGE)


def test_a_foreign_platform_does_not_travel(pusher, open_source):
    manifest = pusher.image("image", platform="linux/amd64")
    assert refusal(open_source(pusher.host, manifest)).code == "E0603"


def test_an_honest_hostile_registry_is_no_obstacle(hostile, open_source):
    manifest = hostile.serve(layers=[BIG, SMALL])
    assert manifest == image(layers=[BIG, SMALL])[0]
    assert len(unpacked(open_source(hostile.host, manifest))) == 7
