"""Layers and images have the same bytes for the same content, and reach a registry once."""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from macfleet.lab.oci import Registry, make_image, make_index, tree_layer


class FakeRegistry(BaseHTTPRequestHandler):
    """Stores blobs and manifests as a registry does and counts uploads."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def do_GET(self):
        self.reply(200)

    def do_HEAD(self):
        self.reply(200 if self.path in self.server.stored else 404)

    def do_POST(self):
        self.reply(202, Location=f"{self.path}upload-1?state=abc")

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.puts += 1
        if "?" in self.path:
            place, _, query = self.path.partition("?")
            digest = query.rpartition("digest=")[2].replace("%3A", ":")
            assert "state=abc" in query
            assert digest == f"sha256:{hashlib.sha256(body).hexdigest()}"
            self.server.stored[place.replace("uploads/upload-1", digest)] = body
        else:
            self.server.stored[self.path] = body
        self.reply(201)


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeRegistry)
    server.stored, server.puts = {}, 0
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def sample(cache, name="layer"):
    layer = tree_layer(name, {"/app/run": b"#!/bin/sh\n", "/app/a.so": b"\x7fELF"}, cache)
    return make_image([layer], "amd64", {"Entrypoint": ["/app/run"], "Labels": {"k": "v"}})


def test_the_same_files_make_the_same_layer(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    assert sample(one).manifest == sample(two).manifest


def test_labs_that_come_up_at_the_same_time_pack_the_same_layer(tmp_path):
    with ThreadPoolExecutor(max_workers=4) as pool:
        found = list(pool.map(lambda _: sample(tmp_path).manifest, range(12)))
    assert len(set(found)) == 1
    assert sorted(each.name for each in tmp_path.iterdir()) == ["layer.layer.json", "layer.tar.gz"]


def test_a_layer_is_a_readable_archive_with_true_digests(tmp_path):
    (layer,) = sample(tmp_path).layers
    packed = layer.path.read_bytes()
    assert layer.digest == f"sha256:{hashlib.sha256(packed).hexdigest()}"
    assert layer.diff_id == f"sha256:{hashlib.sha256(gzip.decompress(packed)).hexdigest()}"
    with tarfile.open(layer.path) as archive:
        assert archive.getnames() == ["app/a.so", "app/run"]


def test_config_and_index_say_which_platform(tmp_path):
    image = sample(tmp_path)
    config = json.loads(image.config.content)
    assert (config["architecture"], config["os"]) == ("amd64", "linux")
    assert config["config"]["Entrypoint"] == ["/app/run"]
    (entry,) = json.loads(make_index([image]).content)["manifests"]
    assert entry["platform"] == {"os": "linux", "architecture": "amd64"}
    assert entry["digest"] == image.manifest.digest


def test_a_push_uploads_only_what_is_missing(tmp_path, server):
    registry = Registry(f"127.0.0.1:{server.server_port}")
    image = sample(tmp_path)
    index = make_index([image])
    assert registry.answers()
    assert not registry.has("engine", index.digest)
    registry.push_image("engine", image, ["b1"])
    registry.push_index("engine", index, ["latest"])
    assert registry.has("engine", index.digest)
    assert registry.has("engine", "latest")
    first = server.puts
    registry.push_image("engine", image)
    assert server.puts == first + 1  # the manifest alone


def test_a_registry_that_is_away_does_not_answer():
    assert not Registry("127.0.0.1:9").answers()
    assert not Registry("127.0.0.1:9").has("engine", "latest")
