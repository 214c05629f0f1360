"""An image in parts: the frame and each layer once, kept on this machine under their digests."""

import hashlib
import io
import random
import tarfile
import threading

import pytest
from image_pusher import layer, sha256

from macfleet.model.diagnostic import MacfleetError
from macfleet.model.image import Blob
from macfleet.registry import BlobCache, OciSources, RegistryResolver

NOISE = random.Random(8).randbytes(300_000)  # noqa: S311 (data that does not compress, nothing secret)
BIG = layer({"big": NOISE})
SMALL = layer({"small": b"x"})
DATA = BIG[1]
NAME = "registry.example/engine:pinned"


@pytest.fixture
def opened(clock, tmp_path):
    resolvers = []

    def make(host, manifest, *, cached=True):
        resolvers.append(RegistryResolver(clock=clock, plain_http=[host]))
        sources = OciSources(resolvers[-1], BlobCache(tmp_path / "blobs") if cached else None)
        return sources, f"oci:{host}/image@{sha256(manifest)}|linux/arm64|{NAME}"

    yield make
    for each in resolvers:
        each.close()


def test_the_parts_are_a_frame_and_each_layer_once_in_order(pusher, opened):
    manifest = pusher.image("image", layers=[BIG, SMALL, BIG])
    sources, source = opened(pusher.host, manifest)
    frame, *layers = sources.parts(source)
    assert [part.name for part in layers] == [sha256(blob).replace(":", "-") for _, blob in (BIG, SMALL)]
    for part in (frame, *layers):
        content = b"".join(part.open(0))
        assert (len(content), hashlib.sha256(content).hexdigest()) == (part.size, part.sha256)
        assert b"".join(part.open(100)) == content[100:]
        assert part.sha256 in part.name
    with tarfile.open(fileobj=io.BytesIO(b"".join(frame.open(0)))) as archive:
        names = archive.getnames()
    assert names[:3] == ["oci-layout", "index.json", "manifest.json"]
    assert not any(part.sha256 in name for part in layers for name in names)


@pytest.mark.parametrize("cached", [True, False])
def test_frame_and_layers_together_are_what_the_whole_archive_holds(pusher, opened, cached):
    manifest = pusher.image("image", layers=[BIG, SMALL])
    sources, source = opened(pusher.host, manifest, cached=cached)
    with tarfile.open(fileobj=io.BytesIO(b"".join(sources.open(source)))) as archive:
        whole = {member.name: archive.extractfile(member).read() for member in archive}
    frame, *layers = sources.parts(source)
    with tarfile.open(fileobj=io.BytesIO(b"".join(frame.open(0)))) as archive:
        joined = {member.name: archive.extractfile(member).read() for member in archive}
    joined |= {f"blobs/sha256/{part.sha256}": b"".join(part.open(0)) for part in layers}
    assert joined == whole


def blob_of(content):
    return Blob(f"sha256:{hashlib.sha256(content).hexdigest()}", len(content))


def test_a_blob_is_fetched_once_however_many_want_it_at_the_same_time(tmp_path):
    cache, fetched = BlobCache(tmp_path / "blobs"), []
    gate = threading.Barrier(4)

    def fetch():
        fetched.append(1)
        return [DATA[:1000], DATA[1000:]]

    def want(found):
        gate.wait(10)
        found.append(b"".join(cache.read(blob_of(DATA), fetch)))

    found = []
    threads = [threading.Thread(target=want, args=(found,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [DATA] * 4
    assert len(fetched) == 1


def test_a_blob_that_is_not_genuine_is_not_kept(tmp_path):
    cache = BlobCache(tmp_path / "blobs")
    with pytest.raises(MacfleetError) as caught:
        list(cache.read(blob_of(DATA), lambda: [DATA[:-1] + b"?"]))
    assert caught.value.diagnostics[0].code == "E0604"
    assert list((tmp_path / "blobs").iterdir()) == []
    assert b"".join(cache.read(blob_of(DATA), lambda: [DATA])) == DATA


def test_blobs_that_nothing_needs_are_told_with_their_size_and_dropped(tmp_path):
    needed, old = blob_of(b"needed"), blob_of(b"old")
    cache = BlobCache(tmp_path / "blobs")
    assert cache.others([]) == {}
    for blob, data in ((needed, b"needed"), (old, b"old")):
        assert b"".join(cache.read(blob, lambda data=data: [data])) == data
    (tmp_path / "blobs" / "mine").write_text("no blob")
    assert cache.others([needed.digest]) == {old.digest: 3}
    cache.drop([old.digest, old.digest])
    assert cache.others([needed.digest]) == {}
    assert sorted(path.name for path in (tmp_path / "blobs").iterdir()) == sorted(
        ["mine", needed.digest.replace(":", "-")]
    )
