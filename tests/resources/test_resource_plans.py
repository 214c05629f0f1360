"""How the plan of every kind reads: on a blank node, on a perturbed one, and where the thing is to go."""

from pathlib import Path

import pytest
from test_resources_conformance import PARAMS, Case, documents

from macfleet.testing import golden
from macfleet.views.rollout import change_row

LOOKED_AT = Path(__file__).parent / "golden"


def rows(kind):
    document = documents()[kind]
    said = {"blank": document["blank"], "converged": document["converged"], **document["perturbed"]}
    yield from ((name, Case(kind, name, recorded, document).change()) for name, recorded in said.items())
    if "state" in PARAMS[kind].model_fields:
        gone = {**document, "params": {**document["params"], "state": "absent"}}
        resource = Case(kind, "state: absent", {}, gone).resource()
        found = Case(kind, "state: absent", document.get("gone", document["converged"]), document).output()
        yield "state: absent", resource.change(resource.probe().parse(found))


def text(kind):
    for name, change in rows(kind):
        row = change_row(change)
        yield f"{name}:"
        yield f"  {row.symbol} {row.subject}   {' · '.join(row.words)}"
        if row.why:
            yield f"      {row.why}"


@pytest.mark.parametrize("kind", sorted(documents()))
def test_the_plan_of_a_kind_reads_as_it_was_looked_at(kind):
    golden(LOOKED_AT / f"{kind}.txt", "\n".join(text(kind)))
