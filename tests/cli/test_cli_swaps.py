"""Prompts and images that were swapped: the stage that owns them refuses, before a node is asked."""

from __future__ import annotations

import pytest

from macfleet.gates import GateContext, build_gate
from macfleet.model.contract import Bucket, ClientDiscipline, Contract, Slo
from macfleet.model.image import ResolvedImage
from macfleet.model.node import Arm, Endpoint, Node
from macfleet.model.stage import GateSpec, Outcome

# Nodes of this fleet listen nowhere: whoever asked one would exit 5, not 2.
REFUSED = 2
PINNED = ResolvedImage(
    "registry.example/llama-server:b10434",
    "registry.example/llama-server",
    *(f"sha256:{digit * 64}" for digit in "123"),
    "linux/arm64",
    (),
)


def edit(path, before, after):
    text = path.read_bytes()
    assert text.count(before) >= 1
    path.write_bytes(text.replace(before, after, 1))


@pytest.mark.parametrize("stage", ["stage1", "stage2", "stage5"])
def test_one_changed_byte_of_a_fixture_is_refused_by_every_stage_that_rests_on_it(run, fleet, stage):
    edit(fleet / "contract/fixtures/short/story.json", b"story", b"storx")
    code, out, err = run("rollout", stage)
    assert code == REFUSED
    assert "E0716" in out + err
    assert "fixtures/short/story.json was edited" in out + err


def test_a_contract_that_was_not_frozen_again_is_refused_by_stage_1(run, fleet):
    edit(fleet / "contract/contract.yml", b"version: 1", b"version: 2")
    edit(fleet / "contract/contract.yml", b"ttft_p95: 800ms", b"ttft_p95: 900ms")
    code, out, err = run("rollout", "stage1")
    assert code == REFUSED
    assert "E0715" in out + err
    assert "macfleet contract freeze" in out + err


def test_another_tag_in_images_yml_is_refused_by_stage_2_until_it_is_pinned(run, fleet):
    edit(fleet / "images.yml", b"llama-server:b10434", b"llama-server:b10435")
    code, out, err = run("rollout", "stage2")
    assert code == REFUSED
    assert "E0625" in out + err
    assert "macfleet image pin" in out + err


def judged(kind, evidence):
    node = Node("mac-01", Endpoint("mac-01"), arms=(Arm.CONTAINER,))
    bucket = Bucket("short", 512, 16, Slo(), ())
    contract = Contract(
        "chat", 1, "9f" * 32, "5e" * 32, (), "m", 4, (1,), (bucket,), "short", ClientDiscipline(), 60.0, {}
    )
    gate = build_gate(GateSpec(kind, {}))
    return gate.judge(GateContext(node, contract, {"engine": PINNED}), evidence)


def test_a_tag_that_moved_at_the_registry_is_no_part_of_what_stage_2_asks_for():
    gate = build_gate(GateSpec("images_pinned", {}))
    context = GateContext(Node("mac-01", Endpoint("mac-01")), None, {"engine": PINNED})
    assert [request.reference for request in gate.needs(context)] == [
        f"registry.example/llama-server@{PINNED.manifest}"
    ]


def test_a_registry_that_has_other_bytes_under_the_pinned_name_holds_stage_2():
    swapped = {"platform": "linux/arm64", "config": f"sha256:{'9' * 64}"}
    verdict = judged("images_pinned", {"image.engine": swapped})
    assert verdict.outcome is Outcome.HOLD
    assert "has another config than images.lock says" in verdict.reasons[0]


def test_an_image_of_the_same_name_and_platform_with_other_bytes_on_a_node_holds_stage_2():
    on_node = {"engine": "linux/arm64", PINNED.repository: f"sha256:{'9' * 64}=linux/arm64"}
    verdict = judged("images_native", {"images.on_node": on_node})
    assert verdict.outcome is Outcome.HOLD
    assert verdict.reasons == (f"engine: {PINNED.pinned} is not on the node",)
