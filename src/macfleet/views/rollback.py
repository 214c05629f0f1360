"""Where nodes go back to, and the table that proves that they are there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from macfleet.model.json import Json
from macfleet.rollout.result import FAILURES
from macfleet.rollout.rollback import Proof, Return
from macfleet.views.promotion import moment, named, short
from macfleet.views.symbols import NODES
from macfleet.views.table import lines as table


def plan_lines(returns: Sequence[Return], width: int = 0) -> Iterator[str]:
    """Yield what each node is to run and what it goes back to; `width` 0 folds nothing."""
    heads = ("node", "is to run", "", "goes back to", "reference", "lock")
    yield from table(heads, [_plan_row(each) for each in returns], width, gap="  ")


def plan_document(returns: Sequence[Return]) -> dict[str, Json]:
    """Return the same as JSON, schema 1."""
    rows: list[Json] = [
        {
            "node": each.node.name,
            "now": each.now.id,
            "to": each.to.id,
            "lock": each.path,
            "finishes": each.finishes,
        }
        for each in returns
    ]
    return {"schema": 1, "kind": "rollback-plan", "nodes": rows}


def proof_lines(proofs: Sequence[Proof], width: int = 0) -> Iterator[str]:
    """Yield the proof table: a row a node; `width` 0 folds nothing."""
    heads = ("node", "", "digest before", "digest after", "drained", "routes", "who", "when")
    yield from table(heads, [_proof_row(each) for each in proofs], width, gap="  ")


def proof_document(
    proofs: Sequence[Proof], returns: Sequence[Return], runs: Sequence[str]
) -> dict[str, Json]:
    """Return the proof table as JSON, schema 1; `runs` are the ids of what was carried out."""
    by_name = {each.node.name: each for each in returns}
    rows: list[Json] = [proof_row(each, by_name[each.node]) for each in proofs]
    return {"schema": 1, "kind": "rollback", "runs": list(runs), "nodes": rows}


def proof_row(proof: Proof, back: Return) -> dict[str, Json]:
    """Return one row of the proof table as JSON."""
    return {
        "node": proof.node,
        "outcome": str(proof.outcome),
        "release": {"before": back.now.id, "after": back.to.id},
        "before": _plain(proof.before),
        "after": _plain(proof.after),
        "drained": proof.drained or None,
        "routes": proof.routes,
        "proven": proof.proven,
        "who": proof.who,
        "when": proof.when,
        "problems": [{"code": d.code, "summary": d.summary, "mend": d.mend} for d in proof.problems],
    }


def _plan_row(each: Return) -> tuple[str, ...]:
    references = sorted({named(image.reference) for image in each.to.images.values()})
    arrow = "finish" if each.finishes else "→"
    return each.node.name, each.now.id, arrow, each.to.id, ", ".join(references), each.path


def _proof_row(each: Proof) -> tuple[str, ...]:
    symbol = NODES[each.outcome] if each.outcome in FAILURES or each.proven else "!"
    words = f"{symbol} {each.outcome}"
    told = each.drained or "–", each.routes, each.who, moment(each.when)
    return each.node, words, _digests(each.before), _digests(each.after), *told


def _digests(found: Mapping[str, str] | None) -> str:
    if found is None:
        return "does not answer"
    return ", ".join(f"{service} {short(digest)}" for service, digest in found.items()) or "nothing runs"


def _plain(found: Mapping[str, str] | None) -> Json:
    return None if found is None else dict(found)
