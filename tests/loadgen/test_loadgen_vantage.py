import dataclasses
import json
import shutil
import subprocess
import sys
import zipfile
from contextlib import contextmanager

import pytest
from stand_in import stand_in_wheels

from macfleet.executors import vantage_scripts
from macfleet.executors.vantage import VantageLoadGenerator, VantageSettings
from macfleet.executors.vantage_lines import SegmentLines, read_endpoint, read_ping
from macfleet.loadgen.local import InProcessClient
from macfleet.model.contract import ClientDiscipline, Contract, Route
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.load import FixtureBody, LoadSpec, Sample, SegmentReport, Vantage
from macfleet.model.node import Endpoint, Node
from macfleet.model.ports import Completed
from macfleet.sources.archive import Archive, build_archive
from macfleet.testing.golden_engine import DONE, END, HEAD, GoldenEngine, chunk, delta, event, raw, scheduled
from macfleet.testing.transport import LocalTransport

IMAGE = "registry.example/python@sha256:" + "a" * 64
FIXTURE = FixtureBody(
    "f", {"stream": True, "messages": [{"role": "user", "content": 'it\'s "$HOME" `x` \\ é\n'}]}
)
NODE = Node("mac-1", Endpoint("127.0.0.1"), variables={"python": sys.executable})


def spec(url="http://127.0.0.1:1", **changes) -> LoadSpec:
    basis = LoadSpec(
        url, "/v1/chat/completions", (FIXTURE,), "short×1", 2, "bare", 1, 20.0, max_requests=3, nonce_key="k"
    )
    return dataclasses.replace(basis, **changes)


class Wire(LocalTransport):
    """A local node that notes what its stdin was fed and where tunnels lead."""

    def __init__(self, home, rewrite=lambda script: script, tunnel_to=None):
        super().__init__(home)
        self._rewrite = rewrite
        self.tunnels = []
        self._tunnel_to = tunnel_to

    def run(self, script, **kinds):
        return super().run(self._rewrite(script), **kinds)

    @contextmanager
    def tunnel(self, port):
        self.tunnels.append(port)
        yield self._tunnel_to or port


class One:
    def __init__(self, transport):
        self.transport = transport

    def to(self, _node):
        return self.transport

    def close(self):
        """Nothing is open."""


class Scripted:
    """A node that answers each exec from a list."""

    def __init__(self, *answers: Completed):
        self._answers = list(answers)
        self.scripts = []

    def run(self, script, *, deadline, stdin=None, sink=None):
        self.scripts.append(script)
        answer = self._answers.pop(0)
        if sink is None:
            return answer
        sink(answer.stdout)
        return Completed(answer.exit, b"", answer.stderr)


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Archive:
    folder = tmp_path_factory.mktemp("archive")
    return build_archive(stand_in_wheels(folder / "wheels"), folder / "client.tar.gz")


def generator(transport, archive, **settings):
    return VantageLoadGenerator(
        One(transport), lambda: archive, InProcessClient(), VantageSettings(**settings)
    )


def test_the_first_segment_sends_the_archive_and_the_next_ones_take_one_exec(archive, tmp_path):
    node = Wire(tmp_path)
    load = generator(node, archive)
    with GoldenEngine(scheduled(tokens=3)) as engine:
        for execs in (3, 4):
            samples = []
            report = load.measure(NODE, Vantage.NODE_LOOPBACK, spec(engine.url), samples.append)
            assert len(node.scripts) == execs
            assert [sample.tokens for sample in samples] == [3, 3, 3]
            assert (report.requests, report.token_events, report.archive) == (3, 9, archive.digest)
    assert sorted(path.name for path in (tmp_path / "macfleet" / "loadgen").iterdir()) == [archive.digest]
    # The fixture's quotes, dollars and line breaks went through the shell unharmed.
    assert json.loads(engine.requests[0].body)["messages"][0]["content"].endswith('it\'s "$HOME" `x` \\ é\n')


def test_a_damaged_archive_leaves_nothing_on_the_node(archive, tmp_path):
    broken = dataclasses.replace(archive, digest="0" * 64)
    with pytest.raises(MacfleetError) as caught:
        generator(Wire(tmp_path), broken).measure(NODE, Vantage.NODE_LOOPBACK, spec(), lambda _sample: None)
    assert caught.value.diagnostics[0].code == "E0907"
    assert list((tmp_path / "macfleet" / "loadgen").iterdir()) == []


def test_the_probe_runs_on_the_node(archive, tmp_path):
    contract = Contract(
        "c",
        1,
        "h",
        "s",
        (Route("/v1/chat/completions", stream=True),),
        "m",
        1,
        (1,),
        (),
        "",
        ClientDiscipline(stall_timeout=3),
        1.0,
        {},
    )
    good = raw(HEAD + chunk(event(delta(content="x", finish="stop")) + DONE) + END)
    with GoldenEngine(good) as engine:
        report = generator(Wire(tmp_path), archive).probe(NODE, "bare", engine.url, contract)
    (check,) = report.routes
    assert (report.arm, check.status) == ("bare", 200)
    assert check.problems == ("a request without a prompt was answered with status 200",)
    assert not report.keeps_promise


def test_the_clients_vantage_goes_through_a_tunnel_with_the_same_digest(archive, tmp_path):
    with GoldenEngine(scheduled(tokens=2)) as engine:
        node = Wire(tmp_path, tunnel_to=engine.port)
        load = generator(node, archive)
        samples = []
        report = load.measure(NODE, Vantage.CLIENT, spec("http://127.0.0.1:8080"), samples.append)
        answer = load.ping(NODE, Vantage.CLIENT, "http://localhost:8081/x", requests=2, keep_alive=True)
    assert (report.archive, len(samples)) == (archive.digest, 3)
    assert node.tunnels == [8080, 8081]
    assert node.scripts == []
    assert len(answer.ms) + answer.errors == 2
    assert engine.requests[-1].line == "GET /x HTTP/1.1"


def test_a_ping_on_the_node_comes_back_as_numbers(archive, tmp_path):
    with GoldenEngine(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")) as engine:
        answer = generator(Wire(tmp_path), archive).ping(
            NODE, Vantage.NODE_LOOPBACK, engine.url, requests=4, keep_alive=False, concurrency=2
        )
    assert (len(answer.ms), answer.errors) == (4, 0)


FAKE_DOCKER = """#!/bin/sh
echo "$DOCKER_HOST" > "$HOME/docker-host"
printf '%s\\n' "$@" > "$HOME/docker-arguments"
while [ "$1" != -I ]; do [ "$1" = -v ] && mount="${2%%:*}"; shift; done
shift 2
exec PYTHON -I "$mount/run.py" "$@"
"""


def test_in_the_container_the_client_runs_from_the_pinned_image_in_its_network(archive, tmp_path):
    docker = tmp_path / "docker"
    docker.write_text(FAKE_DOCKER.replace("PYTHON", sys.executable))
    docker.chmod(0o755)
    node = Wire(tmp_path, lambda script: script.replace(vantage_scripts.DOCKER, str(docker)))
    load = generator(node, archive, image=IMAGE, container="engine-1")
    samples = []
    with GoldenEngine(scheduled(tokens=2)) as engine:
        load.measure(NODE, Vantage.IN_CONTAINER, spec(engine.url), samples.append)
    assert len(samples) == 3
    told = (tmp_path / "docker-arguments").read_text().split("\n")
    assert told[told.index("--network") + 1] == "container:engine-1"
    assert told[told.index("--pull") + 1] == "never"
    assert told[told.index("-v") + 1] == f"{tmp_path}/macfleet/loadgen/{archive.digest}:/loadgen:ro"
    assert IMAGE in told
    assert (tmp_path / "docker-host").read_text() == f"unix://{tmp_path}/.colima/default/docker.sock\n"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"container": "e"}, "loadgen_image is not set"),
        ({"container": "e", "image": "registry.example/python:3"}, "loadgen_image is not pinned by digest"),
        ({"image": IMAGE}, "loadgen_container is not set"),
    ],
)
def test_the_container_vantage_refuses_to_guess(archive, settings, words):
    with pytest.raises(MacfleetError) as caught:
        generator(Scripted(), archive, **settings).measure(NODE, Vantage.IN_CONTAINER, spec(), print)
    assert (caught.value.diagnostics[0].code, caught.value.exit_code) == ("E0904", 2)
    assert words in caught.value.diagnostics[0].summary


def test_a_node_variable_overrides_a_setting():
    node = dataclasses.replace(NODE, variables={"loadgen_image": "x", "python": 3})
    assert VantageSettings(image="a", python="/p").of(node) == VantageSettings(image="x", python="/p")


@pytest.mark.parametrize(
    ("vantage", "ended", "code", "words"),
    [
        (Vantage.NODE_LOOPBACK, Completed(97, b"", b""), "E0902", "there is no Python"),
        (
            Vantage.NODE_LOOPBACK,
            Completed(98, b"", b"py: Python 3.9 is older than 3.11\n"),
            "E0903",
            "Python 3.9 is older",
        ),
        (
            Vantage.NODE_LOOPBACK,
            Completed(1, b"", b"Traceback\n\x1b[31mboom\n"),
            "E0905",
            "status 1: ?[31mboom",
        ),
        (Vantage.NODE_LOOPBACK, Completed(137, b"", b""), "E0905", "status 137: no word"),
        (Vantage.IN_CONTAINER, Completed(125, b"", b"No such image\n"), "E0904", "No such image"),
        (Vantage.IN_CONTAINER, Completed(98, b"", b"x: no libraries\n"), "E0903", "no libraries"),
    ],
)
def test_why_the_client_did_not_run_is_told_apart(archive, vantage, ended, code, words):
    load = generator(Scripted(ended), archive, image=IMAGE, container="e")
    with pytest.raises(MacfleetError) as caught:
        load.measure(NODE, vantage, spec(), print)
    (finding,) = caught.value.diagnostics
    assert (finding.code, finding.node) == (code, "mac-1")
    assert words in finding.summary
    assert finding.mend


def lines_of(*documents) -> bytes:
    return b"".join(one if isinstance(one, bytes) else json.dumps(one).encode() + b"\n" for one in documents)


def sample_line(**changes) -> dict:
    times = dict.fromkeys(
        ("t_send", "t_headers", "t_first_event", "t_first_gen", "t_first_visible", "t_last_gen"), 5
    )
    counts = {"t_sched": 1, "t_close": 9, "tokens": 1, "token_source": "usage"}
    basis = Sample("short×1", 2, "bare", 0, "f", "ok", 200, **counts, **times)
    return {"sample": {**basis.document(), **changes}}


def report_line(**changes) -> dict:
    basis = SegmentReport("short×1", 2, "bare", 1, 2, 3, 4, 1, 0.0, 0.0, 0.1, "0.1.0", "digest")
    return {"report": {**basis.document(), **changes}}


GOOD = lines_of(sample_line(), b"\n", {"events": {"index": 0, "t": [1, 2]}}, report_line())


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_lines_are_read_however_they_arrive(size):
    samples = []
    lines = SegmentLines("mac-1", spec(), samples.append)
    for at in range(0, len(GOOD), size):
        lines.feed(GOOD[at : at + size])
    assert lines.settled("digest").requests == len(samples) == 1


def test_a_sample_is_handed_on_before_the_end():
    samples = []
    SegmentLines("mac-1", spec(), samples.append).feed(lines_of(sample_line()))
    assert len(samples) == 1


@pytest.mark.parametrize(
    ("output", "code", "words"),
    [
        (b"", "E0906", "there is no report"),
        (lines_of(sample_line()), "E0906", "there is no report"),
        (lines_of(b"Last login: today\n", report_line(requests=0)), "E0906", "line 1: Invalid JSON"),
        (lines_of(sample_line(tokens="many"), report_line()), "E0906", "sample.tokens"),
        (lines_of(sample_line(arm="container"), report_line()), "E0906", "another segment"),
        (lines_of({"colour": 1}, report_line(requests=0)), "E0906", "line 1: colour"),
        (lines_of(sample_line(), report_line(cpu_share=float("nan"))), "E0906", "line 2"),
        (lines_of(sample_line(), report_line(archive="other")), "E0906", "another archive"),
        (GOOD + b'{"sam', "E0906", "ends inside a line"),
        (GOOD + b"x" * (4 * 2**20 + 1), "E0906", "longer than"),
        (lines_of(sample_line(), report_line(requests=2)), "E0909", "wrote 2 samples and 1 arrived"),
    ],
)
def test_what_a_node_sends_is_checked(output, code, words):
    lines = SegmentLines("mac-1", spec(), lambda _sample: None)
    lines.feed(output)
    with pytest.raises(MacfleetError) as caught:
        lines.settled("digest")
    assert caught.value.diagnostics[0].code == code
    assert words in caught.value.diagnostics[0].summary


@pytest.mark.parametrize("read", [read_endpoint, read_ping])
@pytest.mark.parametrize("output", [b"", b"{", b"[]", b'{"ms": ["x"]}'])
def test_an_unreadable_answer_is_an_error(read, output):
    with pytest.raises(MacfleetError) as caught:
        read("mac-1", output)
    assert caught.value.diagnostics[0].code == "E0906"


@pytest.mark.parametrize("shell", ["sh", "dash", "zsh"])
def test_the_scripts_are_read_by_every_shell(shell):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed here")
    arguments, job = ("measure", "--archive", "d"), "it's"
    container = vantage_scripts.in_container("d", arguments, job, image="i", container="c", profile="p q")
    node = vantage_scripts.on_node("d", arguments, job, vantage_scripts.PYTHONS)
    for script in (vantage_scripts.install("d"), node, container):
        ended = subprocess.run([shell, "-n"], input=script.encode(), capture_output=True, check=False)
        assert (ended.returncode, ended.stderr) == (0, b"")


def test_an_archive_whose_libraries_do_not_load_says_which(archive, tmp_path):
    wheels = stand_in_wheels(tmp_path / "wheels")
    for wheel in wheels.iterdir():
        with zipfile.ZipFile(wheel, "w") as packed:
            packed.writestr("httptools/__init__.py", "raise ImportError('wrong architecture')")
    broken = build_archive(wheels, tmp_path / "client.tar.gz")
    with pytest.raises(MacfleetError) as caught:
        generator(Wire(tmp_path), broken).measure(NODE, Vantage.NODE_LOOPBACK, spec(), print)
    assert caught.value.diagnostics[0].code == "E0903"
    assert "wrong architecture" in caught.value.diagnostics[0].summary
