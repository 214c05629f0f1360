"""What a node may lose: never what a lock, a rollback or a container needs, nor what nobody knows."""

import dataclasses

from macfleet.contract.releases import EVERYBODY, Release, ReleaseLock
from macfleet.facts.image_store import ImageStore, StoredImage
from macfleet.model.image import Blob, LockedImage, ResolvedImage
from macfleet.model.node import Endpoint, Node
from macfleet.rollout.image_prune import kept_for, sort_out

REPOSITORY = "registry.example/llama-server"
NODE = Node("mac-01", Endpoint("10.0.0.1"))


def digest(kind, version):
    return "sha256:" + f"{kind}{version}".encode().hex().ljust(64, "0")


def release(version, repository=REPOSITORY):
    image = ResolvedImage(
        f"{repository}:{version}",
        repository,
        digest("index", version),
        digest("manifest", version),
        digest("config", version),
        "linux/arm64",
        (Blob(digest("base", 0), 10), Blob(digest("layer", version), 10)),
    )
    platforms = {"linux/arm64": image}
    return Release({"engine": LockedImage("engine", image.reference, image.index, platforms)})


def stored(kind, version, repositories=(REPOSITORY,), users=()):
    found = digest(kind, version)
    names = tuple(f"{repository}:{version}" for repository in repositories)
    return StoredImage(found, names, tuple(repositories), frozenset({found}), 10, tuple(users))


LOCK = ReleaseLock(release(5), (release(4), release(3), release(2)))


def split(images, lock=LOCK, back=1, parts=None):
    pruned = sort_out(ImageStore(tuple(images), parts or {}), kept_for(NODE, lock, [lock], back))
    return pruned, [each.names[0].rpartition(":")[2] for each in pruned.going]


def test_what_is_older_than_the_release_a_rollback_returns_to_may_go():
    # Versions by what their store calls them: containerd by index or manifest, classic by config.
    images = [stored("manifest", 5), stored("index", 4), stored("config", 3), stored("manifest", 2), stored("manifest", 1)]  # fmt: skip
    pruned, going = split(images)
    assert going == ["3", "2", "1"]
    assert [why.partition(" (")[0] for _, why in pruned.staying] == ["what the lock says", "for a rollback"]
    assert split(images, back=3)[1] == ["1"]
    assert split(images, back=5)[1] == ["1"]


def test_a_node_that_went_back_keeps_what_it_runs_what_was_pinned_last_and_one_before():
    lock = dataclasses.replace(LOCK, returned={EVERYBODY: release(4).id})
    assert split([stored("manifest", version) for version in (5, 4, 3, 2)], lock)[1] == ["2"]


def test_an_image_with_a_container_stays_whatever_its_version():
    pruned, going = split([stored("manifest", 2, users=("chat-engine-1", "old"))])
    assert going == []
    assert pruned.staying[0][1] == "container chat-engine-1, old"


def test_what_no_lock_knows_is_left_alone():
    images = [
        stored("manifest", 1, ("registry.example/other",)),
        stored("manifest", 2, (REPOSITORY, "mine")),
        StoredImage(digest("dangling", 1), (), (), frozenset(), 10),
    ]
    pruned, going = split(images)
    assert going == []
    assert pruned.unknown == tuple(images)
    assert not pruned.pending


def test_parts_stay_while_a_needed_image_is_made_of_them():
    needed = digest("layer", 5).replace(":", "-")
    old = digest("layer", 2).replace(":", "-")
    frame = "frame-" + "f" * 64
    parts = {
        needed: 1,
        f".{needed}.{'0' * 16}.part": 1,
        old: 1,
        f".{old}.{'0' * 16}.part": 1,
        frame: 1,
        "kept-1": 1,
    }
    pruned, _ = split([], parts=parts)
    assert set(pruned.parts) == {old, f".{old}.{'0' * 16}.part", frame, "kept-1"}
    assert pruned.pending
