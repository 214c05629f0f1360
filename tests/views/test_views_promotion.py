"""The tables of promotions, rollbacks and history, wide, narrow, and as they are kept."""

import pytest

from macfleet.contract.releases import Release
from macfleet.model.diagnostic import Diagnostic
from macfleet.model.node import Endpoint, Node
from macfleet.rollout.history import Deed
from macfleet.rollout.promotion import Difference, ImageMove, Promotion
from macfleet.rollout.result import NodeOutcome
from macfleet.rollout.rollback import Proof, Return
from macfleet.views import history as history_view
from macfleet.views import promotion as promotion_view
from macfleet.views import rollback as rollback_view

OLD, NEW = Release({}), Release({})
DIGEST = f"sha256:{'2c2f33b18ac1' * 5}abcd"


def proof(**fields):
    given = {
        "node": "mac-03",
        "outcome": NodeOutcome.CHANGED,
        "before": {"engine": f"sha256:{'5' * 64}"},
        "after": {"engine": DIGEST},
        "drained": "drained in 3.1 s, nothing in flight",
        "routes": "2 of 2 answer",
        "proven": True,
        "who": "ana@desk",
        "when": "2026-11-23T11:15:48.458+00:00",
        **fields,
    }
    return Proof(**given)


def promotion(**fields):
    images = (
        ImageMove("engine", f"registry.example/llama-server@{DIGEST}", f"sha256:{'5' * 64}", DIGEST),
        ImageMove("front", "registry.example/front:1", "", DIGEST),
        ImageMove("old", "registry.example/old:1", DIGEST, ""),
    )
    return Promotion(
        "staging", "production", NEW, OLD, images, fields.pop("differences", ()), ("mac-03",), **fields
    )


def test_the_proof_table_has_a_row_a_node_with_both_digests():
    head, row = rollback_view.proof_lines([proof()])
    assert head.split() == ["node", "digest", "before", "digest", "after", "drained", "routes", "who", "when"]
    assert row == (
        "mac-03  ✓ changed  engine sha256:555555555555…  engine sha256:2c2f33b18ac1…  "
        "drained in 3.1 s, nothing in flight  2 of 2 answer  ana@desk  2026-11-23 11:15:48Z"
    )


def test_on_a_narrow_terminal_each_node_is_a_paragraph_and_nothing_is_cut():
    lines = list(rollback_view.proof_lines([proof(), proof(node="mac-04")], 60))
    assert all(len(line) <= 60 for line in lines)
    assert lines[0] == "mac-03"
    assert "2026-11-23 11:15:48Z" in " ".join(lines)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"proven": False}, "! changed"),
        ({"outcome": NodeOutcome.UNREACHABLE, "proven": False, "after": None}, "✗ unreachable"),
        ({"outcome": NodeOutcome.HELD, "proven": False}, "! held"),
        ({"after": {}}, "nothing runs"),
        ({"after": None}, "does not answer"),
        ({"drained": ""}, "  –  "),
    ],
)
def test_what_is_not_proven_never_looks_as_if_it_were(fields, words):
    assert words in list(rollback_view.proof_lines([proof(**fields)]))[1]


def test_the_proof_is_kept_with_whole_digests_and_every_problem():
    back = Return(Node("mac-03", Endpoint("mac-03")), NEW, OLD, "images.lock", (NEW, OLD))
    problem = Diagnostic("E0690", "other bytes", mend="look")
    row = rollback_view.proof_row(proof(problems=(problem,)), back)
    assert (row["after"], row["proven"]) == ({"engine": DIGEST}, True)
    assert row["problems"] == [{"code": "E0690", "summary": "other bytes", "mend": "look"}]


def test_a_promotion_shows_what_comes_what_is_new_and_what_goes():
    text = "\n".join(promotion_view.lines(promotion()))
    assert "~  engine  sha256:555555555555…  ←  sha256:2c2f33b18ac1…  registry.example/llama-server\n" in text
    assert "+  front   –" in text
    assert "-  old     sha256:2c2f33b18ac1…  ←  –" in text
    assert "✓ Compose file, mounts and engine flags are the same" in text


def test_a_promotion_tells_declared_differences_from_others_and_what_else_there_is():
    differences = (
        Difference("engine.bare.-t", "4", "8", ("mac-03",), "ten cores"),
        Difference("mounts.vm.weights", "/a:ro", "/b:ro", ("mac-03", "mac-04")),
    )
    found = promotion(differences=differences, unproven=("mac-01",), back=("mac-03",))
    text = "\n".join(promotion_view.lines(found))
    assert "✓  engine.bare.-t" in text
    assert "declared: ten cores" in text
    assert "✗  mounts.vm.weights" in text
    assert "mac-03, mac-04" in text
    assert "? stage 3 has not passed with this release on mac-01" in text
    assert "! mac-03 went back by itself and goes along" in text
    assert [each["declared"] for each in promotion_view.document(found, done=False)["differences"]] == [
        "ten cores",
        None,
    ]


def deed(kind, detail, **fields):
    return Deed(
        1_763_900_000.0,
        kind,
        fields.pop("what", ""),
        "r1",
        fields.pop("nodes", ("mac-03",)),
        detail,
        **fields,
    )


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (deed("run", {"who": "ana"}, what="rollout layout", outcome="ok"), ("rollout layout", "ok")),
        (deed("run", {"who": "ana"}, what="rollout layout", outcome="7"), ("exit 7",)),
        (deed("run", {"who": "ana"}, what="rollout layout"), ("not ended",)),
        (
            deed(
                "release.promoted", {"from": "a", "to": "b", "before": "r-1", "after": "r-2", "why": "good"}
            ),
            ("promote a b, r-1 → r-2", "good"),
        ),
        (
            deed(
                "release.returned", {"before": None, "after": {}, "outcome": "unreachable", "proven": False}
            ),
            ("rollback, unknown → nothing", "unreachable, not proven"),
        ),
        (
            deed("drain.forced", {"refusal": "pool chat", "reason": "fire"}),
            ("drain forced: pool chat", "fire"),
        ),
        (
            deed("lock.broken", {"who": "ana", "reason": "gone"}, nodes=tuple("abcdef")),
            ("a, b, c, d and 2 more",),
        ),
    ],
)
def test_history_says_who_did_what_and_how_it_ended(found, words):
    _, line = history_view.lines([found])
    assert all(each in line for each in words)


def test_what_a_run_does_on_its_way_is_not_what_people_did():
    closed = deed("service.closed", {"run": "r1"})
    opened = deed("service.opened", {})
    by_hand = deed("service.closed", {"run": ""}, nodes=("mac-04",))
    assert history_view.by_people([closed, by_hand, opened]) == (by_hand,)
