"""`macfleet explain`: what an error code, a gate or a threshold means, and what to do."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import click

from macfleet.model.diagnostic import Diagnostic, MacfleetError

if TYPE_CHECKING:
    from macfleet.views.explained import Explained


@click.command()
@click.argument("id_", metavar="ID")
@click.option("--output", type=click.Choice(["human", "json"]), default="human", show_default=True)
def explain(id_: str, output: str) -> None:
    """Say what an error code, a gate or a threshold means, why there is one, and what to do.

    Example: macfleet explain E0310
    """
    from macfleet.views import explained as view
    from macfleet.views.flow import width_of
    from macfleet.views.terminal import show, show_json

    found = _code(id_.upper()) or _gate(id_) or _threshold(id_)
    if found is None:
        raise MacfleetError(_unknown(id_))
    if output == "json":
        show_json(view.document(found))
    else:
        show(view.lines(found, width_of(sys.stdout)))


def _code(code: str) -> Explained | None:
    from macfleet.cli.catalogue import entry
    from macfleet.views.explained import Explained

    found = entry(code) if re.fullmatch(r"E\d{4}", code) else None
    if found is None:
        return None
    return Explained(code, found.severity, found.summaries, found.whys, found.mends, found.exit_codes)


def _gate(name: str) -> Explained | None:
    from macfleet.gates import KINDS
    from macfleet.views.explained import Explained

    if name not in KINDS:
        return None
    from macfleet.cli.kinds import gate_sentences

    does, needs, judges = gate_sentences(name)
    mends = (
        f"Each refusal names what to type; what the gate accepts: macfleet docs {name}",
        "Look again without changing anything: macfleet rollout … --check",
    )
    return Explained(name, "gate", (does,), (f"Evidence: {needs}", f"Judgement: {judges}"), mends, (7,))


def _threshold(name: str) -> Explained | None:
    from macfleet.analysis.thresholds import DEFAULTS
    from macfleet.views.explained import Explained

    found = next((each for each in DEFAULTS if each.id == name), None)
    if found is None:
        return None
    limits = ", ".join(f"{limit} {value:g}" for limit, value in found.limits.items())
    whys = (f"Unless contract/thresholds.yml says otherwise: {limits}.",)
    mends = ("Judge it: macfleet decide", "Own its limits: macfleet docs thresholds")
    return Explained(name, "threshold", (found.verdict,), whys, mends)


def _unknown(given: str) -> Diagnostic:
    from macfleet.analysis.thresholds import DEFAULTS
    from macfleet.cli.catalogue import codes
    from macfleet.documents import nearest
    from macfleet.gates import KINDS

    guess = nearest(given, [*codes(), *KINDS, *(each.id for each in DEFAULTS)])
    mend = f'did you mean "{guess}"?' if guess else "Ids stand in brackets after error[…], or name a gate."
    return Diagnostic("E0340", f'nothing is called "{given}"', mend=mend)
