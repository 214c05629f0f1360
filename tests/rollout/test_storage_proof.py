"""Bind against native: what is read, what follows, and what keeps the proof from being made."""

import json
from dataclasses import replace

import pytest
from straight_line import Fleet

from macfleet.model.node import Arm
from macfleet.model.ports import Completed
from macfleet.model.stage import StageName
from macfleet.rollout.storage_proof import prove_storage, storage_drop

LOADTEST = StageName.LOADTEST
IMAGE = f"registry.example/python@sha256:{'9' * 64}"


class Reader:
    """Answers each reading in turn; `bind` and `native` are rates of both ways, in MB/s."""

    def __init__(self, **rates):
        self.rates = {way: list(given) for way, given in rates.items()}
        self.asked = []

    def run(self, script, *, deadline):
        assert deadline > 0
        way = "bind" if "docker run" in script else "native"
        self.asked.append(way)
        found = self.rates[way].pop(0)
        if isinstance(found, Completed):
            return found
        answer = {"size": 100, "sequential": found[0] * 1e6, "random": found[1] * 1e6}
        return Completed(0, json.dumps(answer).encode(), b"")


@pytest.fixture
def fleet(tmp_path):
    return Fleet.make(tmp_path, "mac-01")


@pytest.fixture
def node(fleet):
    (node,) = fleet.nodes
    return replace(node, variables={**node.variables, "loadgen_image": IMAGE})


@pytest.mark.parametrize(
    ("native", "bind", "drop"),
    [
        ([(3000, 400), (2000, 380)], [(2400, 100), (1500, 90)], 0.75),
        ([(3000, 400), (100, 10)], [(1500, 390), (1000, 100)], 0.5),
        ([(3000, 400), (3000, 400)], [(3100, 410), (2000, 100)], 0.0),
    ],
)
def test_the_best_of_each_side_counts_and_the_worse_way_of_reading_decides(fleet, node, native, bind, drop):
    reader = Reader(native=native, bind=bind)
    proof = prove_storage(node, fleet.desired, reader, short=True)
    assert storage_drop(proof) == pytest.approx(drop)
    assert reader.asked == ["native", "bind", "bind", "native"]
    assert proof["file"] == "/Users/ops/models/a.gguf"


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (Completed(92, b"", b""), "native: there is no Python on the node"),
        (Completed(1, b"", b"one\nNo such file: a.gguf\n"), "native: No such file: a.gguf"),
        (Completed(7, b"", b""), "native: exit status 7"),
        (Completed(0, b"nonsense", b""), "native: the reader's answer was not understood"),
    ],
)
def test_a_proof_that_cannot_be_made_says_why(fleet, node, answer, problem):
    proof = prove_storage(node, fleet.desired, Reader(native=[answer]), short=True)
    assert proof == {"schema": 1, "problem": problem}
    assert storage_drop(proof) is None


def test_without_a_container_arm_or_an_image_nothing_is_read(fleet, node):
    reader = Reader()
    assert prove_storage(replace(node, arms=(Arm.BARE,)), fleet.desired, reader, short=True) is None
    (plain,) = fleet.nodes
    assert "loadgen_image is not set" in prove_storage(plain, fleet.desired, reader, short=True)["problem"]
    nothing = replace(fleet.desired, weights=())
    assert "weights.lock" in prove_storage(node, nothing, reader, short=True)["problem"]


def test_a_load_test_keeps_the_proof_with_the_nodes_facts(tmp_path):
    fleet = Fleet.make(tmp_path, "mac-01").upto(LOADTEST)
    (plain,) = fleet.nodes
    fleet.nodes = (replace(plain, variables={**plain.variables, "loadgen_image": IMAGE}),)
    answers = {True: (1500, 90), False: (3000, 400)}
    canned = fleet.macs.mac("mac-01").canned
    for bind, (sequential, random) in answers.items():
        text = json.dumps({"size": 9, "sequential": sequential * 1e6, "random": random * 1e6})
        canned["docker run --rm -i" if bind else "for python in"] = text.encode()
    result = fleet.rollout(LOADTEST)
    files = fleet.runs.opened[result.run].files
    assert files["nodes/mac-01/storage.json"]["drops"] == {"sequential": 0.5, "random": 0.775}
    assert files["nodes/mac-01/facts.json"]["storage_drop"] == 0.775
