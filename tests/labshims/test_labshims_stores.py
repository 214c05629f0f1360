"""One image on both kinds of store: pushed and pulled, proven, and a foreign one found that was planted."""

import json
import random
import secrets
from dataclasses import replace
from pathlib import Path

import pytest

from macfleet.engine import apply_plan, make_plan, observe
from macfleet.engine.lock import Holder
from macfleet.gates import GateContext
from macfleet.gates.images_native import ImagesNative
from macfleet.lab.oci import Registry, make_image, tree_layer
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.node import Endpoint, Node
from macfleet.model.stage import Outcome
from macfleet.registry import OciSources, RegistryResolver
from macfleet.resources.docker_image import DockerImage
from macfleet.rollout.evidence import as_json
from macfleet.sources.clock import SystemClock
from macfleet.ssh import SshTransports

pytestmark = pytest.mark.lab
SETTINGS = "~/.colima/default/colima.yaml"
# Colima writes its settings in block style; the Mac's sed cannot append a line this shortly.
CLASSIC = f"""cp {SETTINGS} /tmp/as-it-was
awk '{{ print }} /^docker:$/ {{ print "  features: {{containerd-snapshotter: false}}" }}' /tmp/as-it-was >{SETTINGS}
colima restart"""


@pytest.fixture(params=["containerd", "classic"])
def engine(colima, request):
    """The node's engine with a store; afterwards as it was."""
    if request.param == "containerd":
        yield colima
        return
    assert colima.brewed(CLASSIC).returncode == 0
    yield colima
    back = f"docker images -q | sort -u | xargs docker rmi -f >/dev/null; mv /tmp/as-it-was {SETTINGS} && colima restart"
    assert colima.brewed(back).returncode == 0


@pytest.fixture
def resolver(engine):
    resolver = RegistryResolver(clock=SystemClock(), plain_http=[engine.state.registry])
    yield resolver
    resolver.close()


@pytest.fixture
def line(engine):
    transports = SshTransports(Path(engine.state.known_hosts))
    found = engine.state.nodes[0]
    node = Node(
        found.name, Endpoint(found.address, found.port, found.user, engine.state.key), platform="linux/amd64"
    )
    yield node, transports.to(node)
    transports.close()


@pytest.fixture
def layered(engine, tmp_path):
    """Two versions that share the lower layer, and one for another platform, by their references."""
    registry = Registry(engine.state.registry)
    base = tree_layer("base", {"base": random.Random(1).randbytes(2**20)}, tmp_path)  # noqa: S311 (no secret)

    def made(name, architecture):
        top = tree_layer(name, {"top": name.encode()}, tmp_path)
        image = make_image([base, top], architecture, {"Entrypoint": ["/top"]})
        registry.push_image("stores", image)
        return f"{engine.state.registry}/stores@{image.manifest.digest}"

    return made("one", "amd64"), made("two", "amd64"), made("foreign", "arm64")


def bring(line, resource, sources):
    node, transport = line

    def nonce():
        return secrets.token_hex(8)

    plan = make_plan(node.name, [resource], observe(node.name, [resource], transport, nonce=nonce))
    holder = Holder(f"stores-{nonce()}", "test", "2026-01-01T00:00:00Z")
    apply_plan(plan, [resource], transport, sources=sources, holder=holder, nonce=nonce)
    return [change.field for change in plan.changes[0].fields]


def verdict(line, image):
    node, transport = line
    gate = ImagesNative()
    context = replace(GateContext(node, None), images={"stores": image})
    [request] = gate.needs(context)
    seen = observe(
        node.name, [], transport, nonce=lambda: secrets.token_hex(8), extra={request.name: request.probe}
    )
    return gate.judge(context, {request.name: as_json(seen.extra[request.name])})


def test_an_image_is_proven_and_a_planted_foreign_one_found_on_each_kind_of_store(
    engine, resolver, line, layered
):
    one, two, foreign = layered
    driver = json.loads(engine.brewed("docker info --format '{{json .Driver}}'").stdout)
    sources = OciSources(resolver)
    for reference, pushed in ((one, True), (two, False)):
        image = resolver.resolve(reference, "linux/amd64")
        resource = DockerImage("stores", image, pushed=pushed)
        assert bring(line, resource, sources) == ["manifest", "platform"], (driver, pushed)
        assert bring(line, resource, sources) == [], (driver, pushed)
        assert verdict(line, image).outcome is Outcome.PASS
    with pytest.raises(MacfleetError, match="is not built for linux/amd64"):
        resolver.resolve(foreign, "linux/amd64")
    planted = f"{engine.state.registry}/stores:by-hand"
    assert (
        engine.brewed(
            f"docker pull -q --platform linux/arm64 {foreign} && docker tag {foreign} {planted}"
        ).returncode
        == 0
    )
    found = verdict(line, resolver.resolve(two, "linux/amd64"))
    assert found.outcome is Outcome.HOLD
    assert "is linux/arm64, not linux/amd64" in found.reasons[0], (driver, found.reasons)
    engine.brewed(f"docker rmi {planted}; docker rmi {foreign}")  # a classic store loses both names at once
    assert verdict(line, resolver.resolve(two, "linux/amd64")).outcome is Outcome.PASS
