"""Tiny images built in memory and pushed the way the distribution specification says."""

import gzip
import hashlib
import io
import json
import tarfile

import httpx

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
ATTESTATION = {"vnd.docker.reference.type": "attestation-manifest"}


def sha256(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def layer(files):
    """Return (diff id, compressed bytes) of a layer with these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    plain = buffer.getvalue()
    return sha256(plain), gzip.compress(plain, mtime=0)


def image(platform="linux/arm64", files=None, docker=False, labels=None, layers=None):
    """Return (manifest bytes, {digest: blob bytes}) of an image; layers as (diff id, bytes)."""
    os, architecture, *variant = platform.split("/")
    parts = layers or [layer(files or {"hello": platform.encode()})]
    config = {
        "os": os,
        "architecture": architecture,
        **({"variant": variant[0]} if variant else {}),
        "created": "2026-01-02T03:04:05Z",
        "config": {"Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": [diff for diff, _ in parts]},
    }
    blob = json.dumps(config).encode()
    kind = "docker.container.image.v1+json" if docker else "oci.image.config.v1+json"
    layer_type = (
        "application/vnd.docker.image.rootfs.diff.tar.gzip"
        if docker
        else "application/vnd.oci.image.layer.v1.tar+gzip"
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST if docker else OCI_MANIFEST,
        "config": {"mediaType": f"application/vnd.{kind}", "digest": sha256(blob), "size": len(blob)},
        "layers": [{"mediaType": layer_type, "digest": sha256(data), "size": len(data)} for _, data in parts],
    }
    return json.dumps(manifest).encode(), {sha256(blob): blob} | {sha256(data): data for _, data in parts}


def entry(manifest, platform, annotations=None):
    """Return an index entry for a manifest or an index."""
    os, architecture, *variant = platform.split("/") if platform else ("", "")
    where = {"os": os, "architecture": architecture} | ({"variant": variant[0]} if variant else {})
    return {
        "mediaType": json.loads(manifest)["mediaType"],
        "digest": sha256(manifest),
        "size": len(manifest),
        **({"platform": where} if platform else {}),
        **({"annotations": annotations} if annotations else {}),
    }


def index(*entries, docker=False):
    media_type = DOCKER_LIST if docker else OCI_INDEX
    return json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": list(entries)}).encode()


class Pusher:
    """Pushes to a registry on loopback."""

    def __init__(self, host):
        self.host = host
        self.client = httpx.Client(base_url=f"http://{host}", trust_env=False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()

    def blob(self, name, data):
        place = self.client.post(f"/v2/{name}/blobs/uploads/").headers["location"]
        answer = self.client.put(
            httpx.URL(place).copy_merge_params({"digest": sha256(data)}),
            content=data,
            headers={"Content-Type": "application/octet-stream"},
        )
        answer.raise_for_status()

    def manifest(self, name, data, tag=None):
        answer = self.client.put(
            f"/v2/{name}/manifests/{tag or sha256(data)}",
            content=data,
            headers={"Content-Type": json.loads(data)["mediaType"]},
        )
        answer.raise_for_status()
        return sha256(data)

    def image(self, name, tag=None, **arguments):
        """Push one image; returns its manifest bytes."""
        manifest, blobs = image(**arguments)
        for data in blobs.values():
            self.blob(name, data)
        self.manifest(name, manifest, tag)
        return manifest
