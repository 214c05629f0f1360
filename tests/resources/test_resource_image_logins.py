"""Logins of a node that pulls: the steps' own scripts, over a Docker client that a test tells what to answer."""

import base64
import json
import os
import subprocess

import pytest

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.image import ResolvedImage
from macfleet.model.node import Endpoint, Node, RegistryAccess
from macfleet.model.reference import Reference
from macfleet.model.resource import ProbeOutput, Telling
from macfleet.model.secret import Secret
from macfleet.resources import Surroundings, local_name, name_on
from macfleet.resources.docker_image import DockerImageParams
from macfleet.resources.image_sources import NOTHING_PULLED

A, B, C = (f"sha256:{letter * 64}" for letter in "abc")
IMAGE = ResolvedImage("registry.example/engine:1", "registry.example/engine", A, B, C, "linux/arm64", (), ())
PINNED = IMAGE.pinned
NEAR, FAR = "near.example:5000", "far.example"
PLANTED = "pl/nted+s3cret=&for 'the' \"hunt\""
SECRETS = {"env:READ": PLANTED, "env:NEAR": "of-the-mirror"}
# It says what it was given and what its folder holds, then answers as the host of the reference is told to.
DOCKER = """#!/bin/sh
case "$1 $2" in
pull*)
  for reference; do :; done
  settings=none
  [ ! -e "$DOCKER_CONFIG/config.json" ] || settings=$(cat "$DOCKER_CONFIG/config.json")
  [ ! -f "$DOCKER_CONFIG/config.json" ] || echo "a file: $DOCKER_CONFIG" >>"$HOME/files"
  printf '%s\\t%s\\n' "$reference" "$settings" >>"$HOME/pulls"
  printf '%s\\n' "$*" >>"$HOME/words"; env >>"$HOME/words"; ps -Ao args= >>"$HOME/words"
  . "$HOME/answers" ;;
"image ls") ;;
tag* | "image rm") printf '%s\\n' "$*" >>"$HOME/names" ;;
info*) echo '[["driver-type","x"]]' ;;
esac
"""
REFUSED = "Error response from daemon: unauthorized: authentication required"
DEAD = 'Error response from daemon: Get "http://near.example:5000/v2/": dial tcp: connect: connection refused'


class Mac:
    """A home folder, a Docker client, and what became of them."""

    def __init__(self, folder):
        self.home = folder / "home"
        self.programs = folder / "bin"
        self.scratch = folder / "scratch"
        for each in (self.home, self.programs, self.scratch):
            each.mkdir()
        (self.programs / "docker").write_text(DOCKER)
        (self.programs / "docker").chmod(0o755)
        (self.programs / "limactl").write_text("#!/bin/sh\nexit 1\n")
        (self.programs / "limactl").chmod(0o755)

    def answers(self, **by_host):
        """Let a host say a text and fail; the others serve the image."""
        rows = [f"*{host}*) echo {json.dumps(said)} >&2; exit 1 ;;" for host, said in by_host.items()]
        (self.home / "answers").write_text("\n".join(["case $reference in", *rows, "esac", ""]))

    def run(self, resource, before=""):
        [step] = resource.steps(resource.change(None))
        values = {"HOME": str(self.home), "PATH": f"{self.programs}:{os.environ['PATH']}"}
        return subprocess.run(
            ["/bin/sh", "-s"],
            input=before + step.script,
            env=values | {"TMPDIR": str(self.scratch)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def read(self, name):
        path = self.home / name
        return path.read_text().splitlines() if path.exists() else []

    def pulls(self):
        """Each reference that was asked for, with the logins the client saw then."""
        found = []
        for line in self.read("pulls"):
            reference, _, settings = line.partition("\t")
            found.append((reference, {} if settings == "none" else json.loads(settings)["auths"]))
        return found


@pytest.fixture
def mac(tmp_path):
    mac = Mac(tmp_path)
    mac.answers()
    return mac


def resource(*registries, image=IMAGE, delivery="pull"):
    def secret(reference):
        if reference not in SECRETS:
            raise MacfleetError(Diagnostic("E1202", f"{reference} is not set", why="It is wanted."))
        return Secret(SECRETS[reference])

    node = Node("mac-01", Endpoint("mac-01.example"), registries=registries, delivery=delivery)
    params = DockerImageParams(image="engine")
    return params.build(Surroundings(node, images={"engine": image}, secret=secret))


def login(user, password):
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


OWN = RegistryAccess("registry.example", "reader", "env:READ")
MIRRORED = RegistryAccess("registry.example", "reader", "env:READ", (NEAR, f"{FAR}/proxy"))


def test_a_node_without_a_login_pulls_without_one(mac):
    assert mac.run(resource()).returncode == 0
    assert mac.pulls() == [(PINNED, {})]
    assert mac.read("names") == []


def test_the_client_sees_the_login_of_the_registry_it_asks_and_nothing_else(mac):
    mac.answers(near=DEAD, far=DEAD)
    done = mac.run(resource(MIRRORED, RegistryAccess(NEAR, "near", "env:NEAR")))
    assert done.returncode == 0, done.stderr
    assert mac.pulls() == [
        (f"{NEAR}/engine@{B}", {NEAR: login("near", "of-the-mirror")}),
        (f"{FAR}/proxy/engine@{B}", {}),
        (PINNED, {"registry.example": login("reader", PLANTED)}),
    ]


def test_a_login_is_in_no_file_no_argument_and_no_environment_and_leaves_nothing(mac):
    mac.answers(registry=REFUSED)
    done = mac.run(resource(OWN))
    assert mac.pulls() == [(PINNED, {"registry.example": login("reader", PLANTED)})]
    assert mac.read("files") == []
    assert list(mac.scratch.iterdir()) == []
    kept = [path.read_text() for path in mac.home.rglob("*") if path.is_file() and path.name != "pulls"]
    said = "\n".join([*kept, done.stdout, done.stderr])
    for spelt in (PLANTED, login("reader", PLANTED)["auth"]):
        assert spelt not in said


def test_a_registry_of_docker_is_called_what_its_client_calls_it(mac):
    image = ResolvedImage("python:3", "docker.io/library/python", A, B, C, "linux/arm64", (), ())
    mac.run(resource(RegistryAccess("docker.io", "reader", "env:READ"), image=image))
    assert list(mac.pulls()[0][1]) == ["https://index.docker.io/v1/"]


def test_the_first_mirror_that_serves_it_is_enough_and_what_it_calls_it_is_forgotten(mac):
    mac.answers(near=DEAD)
    image = resource(MIRRORED)
    assert mac.run(image).returncode == 0
    far = f"{FAR}/proxy/engine@{B}"
    assert [reference for reference, _ in mac.pulls()] == [f"{NEAR}/engine@{B}", far]
    assert mac.read("names") == [f"tag {far} {local_name(IMAGE)}", f"image rm --no-prune {far}"]
    assert image.reference == local_name(IMAGE)


def test_what_a_mirror_did_not_do_is_noted_and_names_it(mac):
    mac.answers(near=DEAD, far="manifest verification failed for digest sha256:x")
    image = resource(MIRRORED)
    done = mac.run(image)
    assert isinstance(image, Telling)
    assert image.notes(ProbeOutput(done.returncode, done.stdout, done.stderr)) == (
        f"mirror {NEAR} was passed over for engine: it does not answer ({DEAD.partition(': ')[2]})",
        f"mirror {FAR} was passed over for proxy/engine: it serves other bytes under this digest",
    )
    assert mac.read("names") == [f"tag {PINNED} {local_name(IMAGE)}"]


@pytest.mark.parametrize(
    ("registries", "said", "code", "words", "mend"),
    [
        pytest.param((OWN,), REFUSED, "E0654", "refuses the login of reader (env:READ)", "Check env:READ", id="login"),
        pytest.param((OWN,), "Error response from daemon: denied", "E0654", "refuses the login of reader",
                     "what reader may read", id="denied"),
        pytest.param((OWN,), "unexpected status from HEAD request to http://x: 403 Forbidden", "E0654",
                     "refuses the login", "Check env:READ", id="forbidden"),
        pytest.param((), 'Get "http://x/v2/": no basic auth credentials', "E0654", "wants a login for",
                     'Name a login for "registry.example"', id="none"),
        pytest.param((OWN,), "x: not found: manifest unknown", "E0655", "does not have", "pin", id="missing"),
        pytest.param((OWN,), "unexpected commit digest sha256:x, expected sha256:y", "E0656", "serves other bytes",
                     "proxy", id="lie"),
        pytest.param((OWN,), "dial tcp 192.0.2.1:443: i/o timeout", "E0657", "does not give the node",
                     "delivery: push", id="dead"),
        pytest.param((OWN,), "permission denied while trying to connect to the docker API", "E0657",
                     "does not give the node", "reachable", id="socket"),
    ],
)  # fmt: skip
def test_a_refusal_names_node_registry_user_and_reference(mac, registries, said, code, words, mend):
    mac.answers(registry=said)
    image = resource(*registries)
    done = mac.run(image)
    found = image.refusal(ProbeOutput(done.returncode, done.stdout, done.stderr))
    assert (found.code, found.node, found.exit_code) == (code, "mac-01", ExitCode.HELD)
    assert "registry.example" in found.summary
    assert words in found.summary
    assert PINNED in f"{found.summary} {found.why}"
    assert mend in found.mend


def test_a_refusal_tells_of_the_mirrors_before_it(mac):
    mac.answers(near=DEAD, far=REFUSED, registry=REFUSED)
    image = resource(MIRRORED)
    done = mac.run(image)
    found = image.refusal(ProbeOutput(done.returncode, done.stdout, done.stderr))
    assert found.code == "E0654"
    assert f"mirror {NEAR} was passed over for engine: it does not answer" in found.why
    assert f"mirror {FAR} was passed over for proxy/engine: it refuses the login" in found.why


@pytest.mark.parametrize(
    "output",
    [
        pytest.param(ProbeOutput(73, "", "4 MiB are needed"), id="a full disk"),
        pytest.param(ProbeOutput(69, "", "from 7 nobody knows"), id="another number"),
        pytest.param(ProbeOutput(137, "", "from 0 unauthorized", cut=True), id="cut at its limit"),
    ],
)
def test_any_other_failure_is_left_to_its_last_words(output):
    assert resource(OWN).refusal(output) is None


def test_a_password_that_cannot_be_had_is_said_before_a_node_is_asked():
    image = resource(RegistryAccess("registry.example", "reader", "env:GONE"))
    assert image.probe().script
    with pytest.raises(MacfleetError) as caught:
        image.steps(image.change(None))
    [found] = caught.value.diagnostics
    assert (found.code, found.node) == ("E0653", "mac-01")
    assert "registry.example" in found.summary
    assert "env:GONE" in found.summary


@pytest.mark.parametrize(
    ("registries", "delivery", "name", "reason"),
    [
        ((), "pull", PINNED, ""),
        ((OWN,), "pull", PINNED, "from registry.example as reader"),
        ((MIRRORED,), "pull", local_name(IMAGE), f"from {NEAR}, else {FAR}, else registry.example as reader"),
        ((RegistryAccess("other.example", mirrors=(NEAR,)),), "pull", PINNED, ""),
        ((MIRRORED,), "push", local_name(IMAGE), ""),
    ],
    ids=["plain", "login", "mirrors", "of another", "pushed"],
)
def test_a_plan_says_where_an_image_would_come_from_and_a_compose_file_what_it_is_called(
    registries, delivery, name, reason
):
    image = resource(*registries, delivery=delivery)
    node = Node("mac-01", Endpoint("mac-01.example"), registries=registries, delivery=delivery)
    assert (image.reference, name_on(node, IMAGE)) == (name, name)
    assert image.change(None).reason == reason
    assert Reference.parse(name)


def test_a_plan_reads_no_password():
    image = resource(RegistryAccess("registry.example", "reader", "env:GONE"))
    assert image.change(None).reason == "from registry.example as reader"
    assert "GONE" not in repr(image.change(None))


def test_a_pull_that_is_ended_takes_its_login_with_it(mac):
    (mac.home / "answers").write_text('echo "$$" >"$HOME/pid"; mv "$HOME/pid" "$HOME/begun"; exec sleep 60\n')
    ender = '( while [ ! -e "$HOME/begun" ]; do sleep 0.02; done; kill -9 "$(cat "$HOME/begun")" ) &\n'
    assert mac.run(resource(OWN), before=ender).returncode == NOTHING_PULLED
    assert list(mac.scratch.iterdir()) == []
