"""Images over SSH to real engines: only missing layers travel, once a site, and broken ones are gone on with."""

from __future__ import annotations

import random
import secrets
import time
from contextlib import closing
from dataclasses import dataclass, field

import pytest

from macfleet.cli.fleet import FleetContext
from macfleet.engine import apply_plan, make_plan, observe
from macfleet.engine.lock import Holder
from macfleet.lab.oci import Registry, make_image, tree_layer
from macfleet.model.diagnostic import NodeUnreachable
from macfleet.registry import BlobCache, OciSources, RegistryResolver
from macfleet.resources.docker_image import DockerImage
from macfleet.sources.clock import SystemClock

pytestmark = pytest.mark.lab
MIB = 1024 * 1024


@dataclass
class Counted:
    """A transport that counts the bytes of content, and breaks after so many."""

    inner: object
    travelled: int = 0
    breaks_after: int | None = None

    def run(self, script, *, stdin=None, **options):
        return self.inner.run(script, stdin=None if stdin is None else self._counted(stdin), **options)

    def _counted(self, stdin):
        for piece in stdin:
            if self.breaks_after is not None and self.travelled >= self.breaks_after:
                raise NodeUnreachable("test", "the line broke")
            self.travelled += len(piece)
            yield piece


@dataclass
class Pushes:
    """Brings one image to a node and tells how many bytes travelled."""

    sources: OciSources
    resolver: RegistryResolver
    host: str
    run: int = field(default=0)

    def push(self, transport, image):
        self.run += 1
        reference = f"{self.host}/layered@{image.manifest.digest}"
        resource = DockerImage("layered", self.resolver.resolve(reference, "linux/amd64"), pushed=True)
        plan = make_plan("n", [resource], observe("n", [resource], transport, nonce=_nonce))
        holder = Holder(f"push-{self.run}", "test", "2026-01-01T00:00:00Z")
        before = transport.travelled
        apply_plan(plan, [resource], transport, sources=self.sources, holder=holder, nonce=_nonce)
        return transport.travelled - before


def _nonce():
    return secrets.token_hex(8)


@pytest.fixture
def reached(serving):
    """A counted connection to each node of the lab, by name."""
    with closing(FleetContext(serving.folder)) as fleet:
        yield {node.name: Counted(fleet.transports.to(node)) for node in fleet.nodes("all")}


@pytest.fixture
def pushes(nodes, tmp_path):
    host = nodes.state["registry"]
    resolver = RegistryResolver(clock=SystemClock(), plain_http=[host])
    yield Pushes(OciSources(resolver, BlobCache(tmp_path / "blobs")), resolver, host)
    resolver.close()


@pytest.fixture
def images(nodes, tmp_path):
    """Two images whose top layer differs, over the same large layer, in the lab's registry."""
    dice = random.Random(time.time_ns())  # noqa: S311 (bytes no node has seen, nothing secret)
    registry = Registry(nodes.state["registry"])
    base = tree_layer("base", {"base": dice.randbytes(8 * MIB)}, tmp_path)
    made = []
    for version in ("one", "two"):
        top = tree_layer(version, {"top": dice.randbytes(MIB)}, tmp_path)
        image = make_image([base, top], "amd64", {"Entrypoint": ["/top"]})
        registry.push_image("layered", image)
        made.append(image)
    return made


def test_a_second_image_sends_its_new_layer_only_and_a_broken_push_goes_on(reached, pushes, images, nodes):
    stores = set()
    for name, line in reached.items():
        first, second = images
        base, top = first.layers
        line.breaks_after = line.travelled + base.size // 2
        with pytest.raises(NodeUnreachable):
            pushes.push(line, first)
        line.breaks_after, broken = None, line.travelled
        rest = pushes.push(line, first)
        whole = broken + rest
        # Both together: every layer once and a frame of a few KiB; nothing that had arrived went again.
        assert base.size + top.size < whole < base.size + top.size + 64 * 1024
        again = pushes.push(line, second)
        assert second.layers[1].size < again < second.layers[1].size + 64 * 1024
        nothing = pushes.push(line, second)
        assert nothing == 0
        stores.add(nodes.brewed(name, "docker info --format '{{.Driver}}'").strip())
        assert nodes.brewed(name, "ls ~/.macfleet/blobs").split() == ["images"]
        nodes.brewed(name, "docker images -q '*/layered' | sort -u | xargs docker rmi -f >/dev/null")
    assert stores


def test_with_a_relay_layers_leave_the_controller_once_and_nothing_stays_behind(spoilt, nodes, images):
    """The commands of an operator: pinned, pushed, pushed again, pruned."""
    spoilt("image", "prune", "--yes")  # what was promoted or planted on these nodes before
    for name in nodes.names:
        spoilt.for_node(name, delivery="push", site="lab", relay=True)
    engine = nodes.state["images"]["engine"].partition("/")[0]
    wanted = f"images:\n  layered:\n    reference: {engine}/layered@{{}}\n"
    old, now = (f"{engine}/layered@{image.manifest.digest}" for image in images)
    spoilt.edit("images.yml", "images:\n", wanted.format(images[0].manifest.digest))
    spoilt("image", "pin")
    # A relay is run from the load client's image, which one of these nodes pulled: under another name.
    first = pushed(spoilt, "loadgen", "layered")
    layers = sum(layer.size for layer in images[0].layers)
    assert first["mac-01"]["sent"] > layers
    assert first["mac-02"] == {
        "images": ["layered"], "sent": first["mac-02"]["sent"], "relayed": layers, "from": ["mac-01"], "notes": []
    }  # fmt: skip
    assert first["mac-02"]["sent"] < 64 * 1024  # the frame alone
    spoilt.edit("images.yml", old, now)
    spoilt("image", "pin")
    second = pushed(spoilt, "layered")
    top = images[1].layers[1].size
    assert top < sum(each["sent"] for each in second.values()) < top + 2 * 64 * 1024
    assert [second[name]["relayed"] for name in nodes.names] == [0, top]
    assert pushed(spoilt, "layered", exits=0)["mac-01"]["images"] == []
    for name in nodes.names:
        assert nodes.brewed(name, "docker ps -aq --filter label=macfleet.relay") == ""
        assert nodes.brewed(name, "ls -A ~/.macfleet/blobs").split() == ["images"]
    taken_away(spoilt, nodes, images)


def pushed(fleet, *names, exits=0):
    return fleet("image", "push", *names, "--output", "json", exits=exits).document["nodes"]


def taken_away(fleet, nodes, images):
    """Once another version was pinned nobody needs the first: prune shows it, then removes it."""
    marks = [image.manifest.digest.replace(":", "-") for image in images]
    fleet("image", "prune", "--check", exits=0)  # the first is what a rollback returns to
    engine = nodes.state["images"]["engine"].partition("/")[0]
    fleet.edit("images.yml", f"{engine}/layered@{images[1].manifest.digest}", nodes.state["images"]["python"])
    fleet("image", "pin")
    shown = fleet("image", "prune", "--check", "--output", "json", exits=3).document["nodes"]
    fleet("image", "prune", "--yes")
    for name in nodes.names:
        assert [marks[0] in image["names"][0] for image in shown[name]["remove"]] == [True]
        kept = nodes.brewed(name, "docker images --format '{{.Tag}}' '*/layered'").split()
        assert kept == [marks[1]]
        nodes.brewed(name, "docker images --format '{{.Repository}}:{{.Tag}}' '*/layered' | xargs docker rmi")
