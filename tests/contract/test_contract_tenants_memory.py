"""Tenants with caps, and the memory an engine is assumed to need: promised, shown, and held against files."""

import json
import shutil
from pathlib import Path

import pytest

from macfleet.cli.main import main
from macfleet.contract.load import load_contract
from macfleet.contract.memory import memory_problems
from macfleet.model.contract import MemoryNeed, Tenant
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.node import Arm, Endpoint, Node, VmSize

GIB = 2**30
TOP = Path(__file__).parents[2]
MEMORY = {"weights": "5GiB", "per_slot": "512MiB", "overhead": "1GiB"}
BOTH = (Arm.BARE, Arm.CONTAINER)


@pytest.fixture
def loaded(draft):
    plain = dict(draft.promise)

    def loaded(**more):
        draft.promise = plain | more
        return load_contract(draft.files())

    return loaded


def refused(loaded, **more):
    with pytest.raises(MacfleetError) as caught:
        loaded(**more)
    return [(each.code, each.summary) for each in caught.value.diagnostics]


def test_tenants_and_memory_are_part_of_the_promise(loaded):
    plain = loaded()
    found = loaded(tenants={"ide": {"in_flight": 2}, "batch": {"per_minute": 60}, "ops": {}}, memory=MEMORY)
    assert found.tenants == (Tenant("batch", None, 60), Tenant("ide", 2), Tenant("ops"))
    assert (found.memory.weights, found.memory.needed(4)) == (5 * GIB, 8 * GIB)
    assert (plain.tenants, plain.memory) == ((), None)
    assert found.hash != plain.hash


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        ({"tenants": {"ide": {"in_flight": 5}}}, "E0676", "at most 4 are measured"),
        ({"tenants": {"ide": {"in_flight": 0}}}, "E0703", "in_flight"),
        ({"tenants": {"Team A": {}}}, "E0703", "Team A"),
        ({"tenants": {"ide": {"burst": 4}}}, "E0703", 'unknown key "burst"'),
        ({"memory": {"per_slot": "1GiB"}}, "E0703", 'key "weights" is missing'),
        ({"memory": {"weights": "much"}}, "E0703", "weights"),
    ],
)
def test_what_no_measurement_or_no_size_would_show_is_refused(loaded, more, code, words):
    [(found, summary)] = refused(loaded, **more)
    assert found == code
    assert words in summary


@pytest.mark.parametrize(
    ("arms", "memory", "vm", "places"),
    [
        (BOTH, 16 * GIB, 12 * GIB, []),
        (BOTH, 8 * GIB, 8 * GIB, []),
        (BOTH, 16 * GIB, 6 * GIB, ["its VM has 6 GiB"]),
        (BOTH, 7 * GIB, 6 * GIB, ["the Mac has 7 GiB", "its VM has 6 GiB"]),
        ((Arm.BARE,), 16 * GIB, 6 * GIB, []),
        ((Arm.CONTAINER,), 7 * GIB, 8 * GIB, []),
        ((), 1, 1, []),
        (BOTH, 0, None, []),
    ],
    ids=["enough", "just enough", "a small VM", "both small", "no container", "no bare engine", "an edge", "unsaid"],
)  # fmt: skip
def test_a_node_smaller_than_an_engine_is_assumed_to_be_is_named(loaded, arms, memory, vm, places):
    contract = loaded(memory=MEMORY)
    colima = VmSize(4, vm, 20 * GIB) if vm else None
    node = Node("mac-01", Endpoint("mac-01.example"), arms=arms, memory=memory, colima=colima)
    found = memory_problems(contract, [node])
    assert [each.summary.partition(", ")[2] for each in found] == places
    assert {(each.code, each.node, each.where.file) for each in found} <= {
        ("E0677", "mac-01", "contract/contract.yml")
    }


def test_without_assumptions_no_node_is_judged(loaded):
    assert memory_problems(loaded(), [Node("mac-01", Endpoint("x"), arms=BOTH, memory=1)]) == ()


def test_an_engine_needs_its_weights_a_cache_a_slot_and_the_rest():
    assert MemoryNeed(5, 2, 1).needed(4) == 14


def test_show_and_diff_say_both_in_words(tmp_path, capsys):
    (tmp_path / "macfleet.yml").write_text("name: test\n")
    shutil.copytree(TOP / "contract", tmp_path / "contract")

    def said(*words):
        with pytest.raises(SystemExit):
            main(["contract", *words, "--fleet", str(tmp_path)])
        return capsys.readouterr().out

    promise = tmp_path / "contract/contract.yml"
    promise.write_text(
        promise.read_text() + "tenants: {ide: {in_flight: 2}, ops: {}}\nmemory: {weights: 1GiB}\n"
    )
    out = said("show")
    assert "tenant  ide: at most 2 in flight\n" in out
    assert "tenant  ops: no cap\n" in out
    assert "memory  " in out
    assert json.loads(said("show", "--output", "json"))["memory"]["needed"] == GIB
    assert 'tenants was added: {"ide": {"in_flight": 2}, "ops": {}}' in said("diff")
