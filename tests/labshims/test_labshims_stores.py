"""One image on both kinds of store: pushed and pulled, proven, and a foreign one found that was planted."""

import json
import random
import secrets
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import bcrypt
import httpx
import pytest

from macfleet.engine import apply_plan, make_plan, observe
from macfleet.engine.happening import Moment, nobody
from macfleet.engine.lock import Holder
from macfleet.gates import GateContext
from macfleet.gates.images_native import ImagesNative
from macfleet.lab.docker import find_docker
from macfleet.lab.nodes import container_name
from macfleet.lab.oci import Registry, make_image, tree_layer
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.node import Endpoint, Node, RegistryAccess
from macfleet.model.secret import Secret
from macfleet.model.stage import Outcome
from macfleet.registry import Credential, OciSources, RegistryResolver
from macfleet.resources import Surroundings
from macfleet.resources.docker_image import DockerImage, DockerImageParams, local_name
from macfleet.rollout.evidence import as_json
from macfleet.sources.clock import SystemClock
from macfleet.ssh import SshTransports
from macfleet.testing.hunting import Hunt

pytestmark = pytest.mark.lab
SETTINGS = "~/.colima/default/colima.yaml"
# Colima writes its settings in block style; the Mac's sed cannot append a line this shortly.
CLASSIC = f"""cp {SETTINGS} /tmp/as-it-was
awk '{{ print }} /^docker:$/ {{ print "  features: {{containerd-snapshotter: false}}" }}' /tmp/as-it-was >{SETTINGS}
colima restart"""


@pytest.fixture(scope="module", params=["containerd", "classic"])
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


def bring(line, resource, sources=None, report=nobody):
    node, transport = line

    def nonce():
        return secrets.token_hex(8)

    plan = make_plan(node.name, [resource], observe(node.name, [resource], transport, nonce=nonce))
    holder = Holder(f"stores-{nonce()}", "test", "2026-01-01T00:00:00Z")
    apply_plan(plan, [resource], transport, sources=sources, holder=holder, nonce=nonce, report=report)
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


PLANTED = "pl/nted+s3cret=&for 'the' hunt"
USERS = {"reader": PLANTED, "builder": "only-the-controllers"}
CLOSED = """\
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: /var/lib/registry}}
http: {addr: ":5001"}
auth: {htpasswd: {realm: lab, path: /opt/lab/logins}}
"""


@pytest.fixture(scope="module")
def closed(node):
    """The lab's registry a second time, for those who have a password; its host and port."""
    docker, container = find_docker(), container_name(node.config, "registry")
    rows = [
        f"{user}:{bcrypt.hashpw(each.encode(), bcrypt.gensalt(4)).decode()}" for user, each in USERS.items()
    ]
    for path, text in (("/opt/lab/closed.yml", CLOSED), ("/opt/lab/logins", "\n".join(rows))):
        docker.run("exec", "-i", container, "/usr/bin/dash", "-c", f"cat >{path}", stdin=text.encode())
    serve = "exec /opt/linux-real/bin/docker-registry serve /opt/lab/closed.yml"
    docker.run("exec", "--detach", container, "/usr/bin/dash", "-c", serve)
    host = f"{node.config.registry_address}:5001"
    deadline = time.monotonic() + 60
    with httpx.Client(trust_env=False, timeout=5) as client:
        while time.monotonic() < deadline:
            try:
                assert client.get(f"http://{host}/v2/").status_code == 401
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                return host
    pytest.fail("the closed registry did not come up")


@contextmanager
def curious(address):
    """A mirror that asks everybody for a login and keeps what it is shown."""
    seen = []

    class Curious(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self):
            super().setup()
            if self.connection.recv(1, socket.MSG_PEEK) == b"\x16":  # engines try TLS first
                self.connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
                self.connection.shutdown(socket.SHUT_RDWR)

        def do_GET(self):
            seen.append(self.headers.get("Authorization"))
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic realm=mirror")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET  # noqa: N815  (its name is given)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer((address, 0), Curious)
    server.handle_error = lambda *_: None
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"{address}:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()


def pulling(line, image, host, mirrors, password):
    """The image as a task's parameters make it, for a node with a login of its own."""
    access = RegistryAccess(host, "reader", "env:READ", tuple(mirrors))
    node = replace(line[0], registries=(access,))
    params = DockerImageParams(image="stores")
    return params.build(Surroundings(node, images={"stores": image}, secret=lambda _: Secret(password)))


def test_a_node_pulls_with_a_login_of_its_own_past_mirrors_and_keeps_nothing_of_it(
    engine, line, layered, closed
):
    reference = layered[0].replace(engine.state.registry, closed)
    builder = {closed: Credential("builder", Secret(USERS["builder"]))}
    resolver = RegistryResolver(clock=SystemClock(), plain_http=[closed], credentials=builder)
    image = resolver.resolve(reference, "linux/amd64")
    resolver.close()
    hunt = Hunt((PLANTED,))
    told = []
    dead = f"{engine.config.registry_address}:5009"
    with curious(engine.config.address(1)) as (mirror, seen), hunt.in_processes() as watch:
        with pytest.raises(MacfleetError) as caught:
            bring(line, pulling(line, image, closed, [dead], "not-the-password"))
        resource = pulling(line, image, closed, [dead, mirror], PLANTED)
        assert bring(line, resource, report=told.extend) == ["manifest", "platform"]
        assert bring(line, resource) == []
    [refused] = caught.value.diagnostics
    assert refused.code == "E0654", refused
    assert f"{closed} refuses the login of reader (env:READ)" in refused.summary
    assert verdict(line, image).outcome is Outcome.PASS
    names = engine.brewed("docker images --format '{{.Repository}}:{{.Tag}}'").stdout.split()
    assert [name for name in names if name.startswith((closed, mirror))] == [local_name(image)]
    # The mirrors were really asked, one of them for a login, and it was shown none.
    noted = [each.text for each in told if each.moment is Moment.NOTED]
    assert [note.partition(" was passed over for stores: ")[0] for note in noted] == [
        f"mirror {dead}", f"mirror {mirror}"
    ]  # fmt: skip
    assert "it refuses the login" in noted[1]
    assert set(seen) == {None}
    # The login is in no process and on no disk of the node, whether the pull failed or not.
    assert (watch.rounds > 5, watch.found) == (True, set())
    patterns = b"\n".join(hunt.spellings()).decode()
    look = "cat >/tmp/.patterns; grep -rlFf /tmp/.patterns ~ /tmp /var/tmp /private/var /var/log 2>/dev/null; rm /tmp/.patterns"
    assert engine(look, stdin=patterns).stdout.replace("/tmp/.patterns\n", "") == ""
    assert (
        engine("ls -d /tmp/macfleet* ~/.macfleet/jobs/* ~/.macfleet/docker/config.json 2>/dev/null").stdout
        == ""
    )
    engine.brewed(f"docker rmi {local_name(image)}")
