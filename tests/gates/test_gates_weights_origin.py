"""The gate that asks where weights come from: caches, commits, signatures."""

import base64
import hashlib
from pathlib import Path

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
CASE = Path(__file__).parents[1] / "cases" / "model_signing"
KEYS = {"publisher": (CASE / "trusted.pem").read_text()}
STRANGER = {
    "stranger": """-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
"""
}
COMMIT = "c0ffee" + "0" * 34
PATH = "/c/models--o--m/snapshots/" + COMMIT
SIGNED = [
    WeightsFile("/m/config.json", 7, hashlib.sha256(b'{"a":1}').hexdigest()),
    WeightsFile("/m/sub/model.gguf", 64, hashlib.sha256(bytes(64)).hexdigest()),
]
SIGNATURE = "signature\t" + base64.b64encode((CASE / "model.sig").read_bytes()).decode()


def judged(weights, lines, **params):
    gate = build_gate(GateSpec("weights_origin", params))
    context = GateContext(NODE, CONTRACT, {}, tuple(weights))
    return gate.judge(context, {"weights.origin": {"lines": lines}})


def cached(sha256="a" * 64, revision="", provenance="registry.example/models"):
    return WeightsFile(f"{PATH}/a.gguf", 9, sha256, revision, provenance)


def held(*lines, size=9, blob="a" * 64):
    entry = f"link\ta.gguf\t../../blobs/{blob}\t{size}\t-"
    return [f"cache\t/c/models--o--m\t{COMMIT}", f"ref\tmain\t{COMMIT}", entry, *lines, f"folder\t{PATH}"]


def test_a_cache_as_pinned_passes_and_says_where_it_is_from():
    verdict = judged([cached(revision=COMMIT)], held())
    assert (verdict.outcome, verdict.reasons) == (
        Outcome.PASS,
        ("1 files as pinned", "from registry.example/models"),
    )


@pytest.mark.parametrize(
    ("weights", "lines", "words"),
    [
        (cached(revision="f" * 40), held(), "lies in commit c0ffee000000, its revision is ffffffffffff"),
        (cached(), held(size=8), "has 8 bytes, weights.lock says 9"),
        (cached(), held(blob="b" * 64), "is blob bbbbbbbbbbbb, weights.lock says aaaaaaaaaaaa"),
        (cached(), held("file\tmodeling.py\t-"), "modeling.py is not in weights.lock"),
        (cached(), [f"cache\t/c/models--o--m\t{COMMIT}", "absent", f"folder\t{PATH}"], f"{PATH} is missing"),
        (cached(), [f"folder\t{PATH}"], f"{PATH} is missing"),
    ],
)
def test_a_cache_that_differs_holds(weights, lines, words):
    verdict = judged([weights], lines)
    assert verdict.outcome is Outcome.HOLD
    assert any(words in reason for reason in verdict.reasons)


def test_what_is_allowed_may_lie_in_a_snapshot():
    assert judged([cached()], held("file\tREADME.md\t-")).outcome is Outcome.PASS
    assert judged([cached()], held("file\tREADME.md\t-"), allow=[]).outcome is Outcome.HOLD


def nested(signature):
    """The signature covers a folder; a file below it lies in a folder of its own, without one."""
    return ["folder\t/m", *([signature] if signature else []), "folder\t/m/sub"]


@pytest.mark.parametrize(
    ("signature", "params", "words"),
    [
        (SIGNATURE, {"keys": KEYS}, ""),
        ("", {}, ""),
        (SIGNATURE, {"signature": "ignore"}, ""),
        (SIGNATURE, {}, ""),
        (SIGNATURE, {"signature": "required"}, "/m/model.sig: no key is trusted"),
        (SIGNATURE, {"keys": STRANGER}, "/m/model.sig: no key that is trusted signed it"),
        ("", {"signature": "required", "keys": KEYS}, "has no model.sig: the model is not signed"),
        (f"{SIGNATURE}?", {"keys": KEYS}, "/m/model.sig: "),
        ("signature\te30=", {"keys": KEYS}, "not of its form"),
    ],
)
def test_signatures_count_as_the_playbook_says(signature, params, words):
    verdict = judged(SIGNED[:1], nested(signature), **params)
    assert (verdict.outcome is Outcome.HOLD) == bool(words)
    assert not words or words in verdict.reasons[0]


def test_a_signature_that_nobody_can_check_is_said_to_be_unchecked():
    verdict = judged(SIGNED[:1], nested(SIGNATURE))
    assert verdict.reasons == (
        "1 files as pinned",
        "/m/model.sig is not checked: no key is given to check it",
    )


def test_a_file_in_a_subfolder_is_covered_by_the_signature_above_it():
    verdict = judged(SIGNED, nested(SIGNATURE), signature="required", keys=KEYS)
    assert (verdict.outcome, verdict.reasons) == (
        Outcome.PASS,
        ("2 files as pinned", "/m: signed by publisher"),
    )


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (WeightsFile("/m/config.json", 7, "0" * 64), "is signed as 015abd7f5cc5, weights.lock says 000000"),
        (WeightsFile("/m/other.gguf", 7, "0" * 64), "/m/other.gguf is not among what publisher signed"),
    ],
)
def test_weights_that_were_not_signed_hold(file, words):
    verdict = judged([*SIGNED, file], nested(SIGNATURE), keys=KEYS)
    assert verdict.outcome is Outcome.HOLD
    assert any(words in reason for reason in verdict.reasons)


def test_missing_evidence_holds():
    gate = build_gate(GateSpec("weights_origin", {}))
    assert gate.judge(GateContext(NODE, CONTRACT, {}, (cached(),)), {}).outcome is Outcome.HOLD
    assert gate.judge(GateContext(NODE, CONTRACT, {}, ()), {}).outcome is Outcome.HOLD


@pytest.mark.parametrize("params", [{"signature": "maybe"}, {"keys": {"k": "not a key"}}])
def test_wrong_parameters_are_refused(params):
    with pytest.raises(MacfleetError) as caught:
        build_gate(GateSpec("weights_origin", params))
    assert caught.value.diagnostics[0].code == "E0802"
