"""A release goes from one environment to the other and back, on a real node with a real engine."""

from __future__ import annotations

import hashlib
import json

import httpx
import pytest
import yaml

pytestmark = pytest.mark.lab
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
RUNNING = (
    "docker inspect --format '{{.Image}}' $(docker ps -q --filter label=com.docker.compose.project=chat)"
)


@pytest.fixture
def two(serving, tmp_path):
    """A twin of the serving fleet with mac-01 in production and mac-02 in staging."""
    fleet = serving.twin(tmp_path / "fleet")
    fleet.for_node("mac-01", environment="production")
    fleet.for_node("mac-02", environment="staging")
    return fleet


def test_a_release_is_promoted_rolled_out_and_taken_back_with_a_proof(two, nodes):
    before = nodes.brewed("mac-01", RUNNING)
    two("promote", "staging", "production", "--yes", "--reason", "a lock of its own")
    old = two.read("images.production.lock")
    newer = sibling(two)
    two("image", "pin")
    shown = two(
        "promote", "staging", "production", "--yes", "--output", "json", "--reason", "held for a week"
    )
    (engine,) = [image for image in shown.document["images"] if image["image"] == "engine"]
    assert engine["after"] == newer
    assert (shown.document["differences"], shown.document["unproven"]) == ([], ["mac-02"])
    assert nodes.brewed("mac-01", RUNNING) == before

    for stage in ("stage2", "stage3"):
        two("rollout", stage, "-l", "production")
    assert nodes.brewed("mac-01", RUNNING) != before

    back = two("rollback", "production", "--yes", "--output", "json", "--reason", "it stalls at 8k").document
    (row,) = back["nodes"]
    assert (row["node"], row["outcome"], row["proven"]) == ("mac-01", "changed", True)
    assert (row["before"], row["after"]) == ({"engine": newer}, {"engine": engine["before"]})
    assert row["drained"].startswith("drained in ")
    assert row["routes"] == "2 of 2 answer"
    assert nodes.brewed("mac-01", RUNNING) == before
    assert two("rollback", "production", "--check", exits=2).text.count("E0687") == 1
    assert locked(two.read("images.production.lock"))["returned"] == {"*": row["release"]["after"]}
    assert locked(old)["images"] == locked(two.read("images.production.lock"))["earlier"][0]["images"]

    told = two("history", "--releases", "--output", "json").document["entries"]
    assert [(entry["kind"], entry["why"]) for entry in told] == [
        ("release.promoted", "a lock of its own"),
        ("release.promoted", "held for a week"),
        ("release.returned", "it stalls at 8k"),
    ]
    assert all(entry["who"] == row["who"] for entry in told)


def locked(text):
    return yaml.safe_load(text)


def sibling(fleet):
    """Name another engine in images.yml: the same layers with a label more; return its manifest's digest."""
    images = yaml.safe_load(fleet.read("images.yml"))
    host, _, rest = images["images"]["engine"]["reference"].partition("/")
    name, _, digest = rest.partition("@")
    with httpx.Client(base_url=f"http://{host}/v2/{name}/", trust_env=False, timeout=60) as registry:
        manifest = _read(registry, f"manifests/{digest}")
        if "manifests" in manifest:
            manifest = _read(registry, f"manifests/{manifest['manifests'][0]['digest']}")
        config = _read(registry, f"blobs/{manifest['config']['digest']}")
        labels = config["config"].get("Labels") or {}
        config["config"]["Labels"] = {**labels, "org.opencontainers.image.revision": "the next one"}
        content = _bytes(config)
        begun = registry.post("blobs/uploads/")
        place = httpx.URL(begun.headers["Location"]).copy_merge_params({"digest": _digest(content)})
        registry.put(
            place, content=content, headers={"Content-Type": "application/octet-stream"}
        ).raise_for_status()
        manifest["config"] |= {"digest": _digest(content), "size": len(content)}
        content = _bytes(manifest)
        put = registry.put(
            f"manifests/{_digest(content)}", content=content, headers={"Content-Type": MANIFEST}
        )
        put.raise_for_status()
    images["images"]["engine"]["reference"] = f"{host}/{name}@{_digest(content)}"
    fleet.write("images.yml", yaml.safe_dump(images, sort_keys=False))
    return _digest(content)


def _read(registry, path):
    answer = registry.get(path, headers={"Accept": f"{INDEX}, {MANIFEST}"}, follow_redirects=True)
    answer.raise_for_status()
    return answer.json()


def _bytes(document):
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _digest(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
