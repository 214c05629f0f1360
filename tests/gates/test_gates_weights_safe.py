"""The gate that looks into weights: what it asks for, what it refuses, what may be allowed."""

import pytest

from macfleet.gates import GateContext, WeightsFile, build_gate
from macfleet.model.contract import Bucket, ClientDiscipline, Contract, Slo
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.node import Arm, Endpoint, Node
from macfleet.model.stage import GateSpec, Outcome

NODE = Node("mac-01", Endpoint("mac-01"), arms=(Arm.CONTAINER,))
CONTRACT = Contract(
    "chat-small", 1, "9f" * 32, "5e" * 32, (), "m", 4, (1,), (Bucket("short", 512, 16, Slo(), ()),), "short", ClientDiscipline(), 60.0, {}
)  # fmt: skip
UNKNOWN = "refused it is neither GGUF nor safetensors nor text"
PICKLE = "refused it is a pickle, which runs code when it is loaded"


def context(*paths):
    return GateContext(NODE, CONTRACT, {}, tuple(WeightsFile(path, 1, "ab" * 32) for path in paths))


def judged(found, **params):
    gate = build_gate(GateSpec("weights_safe", params))
    return gate.judge(context(*found), {"weights.headers": {k: v for k, v in found.items() if v}})


@pytest.mark.parametrize(
    ("said", "params", "reason"),
    [
        ("ok gguf v3, llama, 21 tensors", {}, ""),
        ("ok text", {}, ""),
        ("missing", {}, "it is missing"),
        ("", {}, "it is missing"),
        ("refused", {}, "refused"),
        ("refused it is empty", {}, "it is empty"),
        (UNKNOWN, {}, "it is neither GGUF nor safetensors nor text"),
        (UNKNOWN, {"allow": ["*/tokenizer.model"]}, ""),
        (UNKNOWN, {"allow": ["*.spm"]}, "it is neither GGUF nor safetensors nor text"),
        (PICKLE, {"allow": ["*"]}, "it is a pickle, which runs code when it is loaded"),
    ],
)
def test_a_file_passes_or_holds_by_its_content(said, params, reason):
    verdict = judged({"/m/tokenizer.model": said}, **params)
    assert verdict.reasons == ((f"/m/tokenizer.model: {reason}",) if reason else verdict.reasons)
    assert (verdict.outcome is Outcome.HOLD) == bool(reason)
    assert bool(verdict.mend) == bool(reason)


def test_every_file_that_is_refused_is_named():
    verdict = judged({"/m/a": PICKLE, "/m/b": "ok text", "/m/c": UNKNOWN})
    assert [reason.partition(":")[0] for reason in verdict.reasons] == ["/m/a", "/m/c"]


def test_a_header_that_was_not_read_whole_holds_and_says_how_to_read_more():
    verdict = judged(
        {"/m/a": "refused its header goes on behind the first 9 bytes, which are all that was read"}
    )
    assert verdict.outcome is Outcome.HOLD
    assert "Raise limit:" in verdict.mend


def test_python_beside_the_weights_is_refused_unless_it_is_allowed():
    assert judged({"/m/modeling.py": "ok text"}).reasons == (
        "/m/modeling.py: it is Python, which an engine may be told to run",
    )
    assert judged({"/m/modeling.py": "ok text"}, allow=["/m/modeling.py"]).outcome is Outcome.PASS


def test_what_the_files_are_stands_in_the_verdict():
    verdict = judged({"/m/a": "ok gguf v3, llama, 21 tensors", "/m/b": "ok text"})
    assert verdict.reasons == ("gguf v3, llama, 21 tensors",)


def test_it_brings_headers_once_per_evidence_and_bounded():
    gate = build_gate(GateSpec("weights_safe", {"limit": "2MiB"}))
    (request,) = gate.needs(context("/m/it's"))
    assert not gate.before
    assert f"left={2 * 2**20};" in request.probe.script
    assert "'/m/it'\"'\"'s'" in request.probe.script


@pytest.mark.parametrize(
    "params", [{"limit": "1KiB"}, {"limit": "1GiB"}, {"limit": "lots"}, {"allow": "x"}, {"deny": []}]
)
def test_wrong_parameters_are_refused(params):
    with pytest.raises(MacfleetError):
        build_gate(GateSpec("weights_safe", params))
