"""Known-good hashes and figures of a release, as a section of its notes, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from macfleet.analysis.summaries import parse_summary, summary_document
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.json import Json
from macfleet.reports import figures
from macfleet.reports.difference import Side, sides
from macfleet.reports.loaded import LoadedRun

_FENCE = "```"
_KIND = "macfleet-golden"


def golden_section(run: LoadedRun, release: str) -> str:
    """Return the section: a table for people and the same as JSON, which `parse_golden` reads back."""
    head = run.manifest
    lines = [
        f"## Known-good figures of {release}",
        "",
        f"Run `{head.id}`, contract `{head.contract}`, requests `{head.sent}`.",
        *(
            ["", f"**Simulated:** {', '.join(head.simulated)}. Not a Mac's figures."]
            if head.simulated
            else []
        ),
        "",
        "| node | arm | cell | tokens/s | p95 | TTFT p95 | requests |",
        "|---|---|---|---|---|---|---|",
        *_rows(run),
        "",
        "<details><summary>The same for <code>macfleet diff RUN --golden FILE</code></summary>",
        "",
        f"{_FENCE}json",
        json.dumps(_document(run, release), ensure_ascii=False, sort_keys=True),
        _FENCE,
        "",
        "</details>",
        "",
    ]
    return "\n".join(lines)


def parse_golden(text: str, file: str) -> Mapping[str, Side]:
    """Return the golden figures in release notes, by node.

    Raises:
        MacfleetError: E1008 there is no such section, or it cannot be read.
    """
    for block in _blocks(text):
        try:
            document: Json = json.loads(block)
        except ValueError:
            continue
        if isinstance(document, Mapping) and document.get("kind") == _KIND:
            return _sides(document, file)
    raise MacfleetError(_unreadable(file, "it holds no section of golden figures"))


def _rows(run: LoadedRun) -> Iterable[str]:
    for cell in run.cells:
        if cell.invalid:
            shown = ("INVALID", "", "")
        else:
            shown = (
                figures.rate(cell.tokens_per_second),
                figures.seconds(cell.p95),
                figures.seconds(cell.ttft_p95),
            )
        yield f"| {cell.node} | {cell.arm} | {cell.cell} | {' | '.join(shown)} | {figures.count(cell.n)} |"


def _document(run: LoadedRun, release: str) -> dict[str, Json]:
    head = run.manifest
    return {
        "schema": 1,
        "kind": _KIND,
        "release": release,
        "run": head.id,
        "contract": head.contract,
        "sent": head.sent,
        "simulated": list(head.simulated),
        "nodes": {
            node: {"facts": side.facts, "summary": summary_document(side.cells)}
            for node, side in sides(run).items()
        },
    }


def _sides(document: Mapping[str, Json], file: str) -> Mapping[str, Side]:
    nodes, simulated = document.get("nodes"), document.get("simulated")
    if document.get("schema") != 1 or not isinstance(nodes, Mapping) or not isinstance(simulated, list):
        raise MacfleetError(_unreadable(file, "its golden figures are of a form this version does not know"))
    found: dict[str, Side] = {}
    for node, entry in nodes.items():
        if not isinstance(entry, Mapping):
            raise MacfleetError(_unreadable(file, f"the figures of {node} are not a mapping"))
        facts = entry.get("facts")
        found[str(node)] = Side(
            title=f"{document.get('release')} ({node})",
            contract=str(document.get("contract")),
            sent=str(document.get("sent")),
            facts=facts if isinstance(facts, Mapping) else {},
            cells=parse_summary(entry.get("summary"), file),
            simulated=tuple(str(each) for each in simulated),
        )
    return found


def _blocks(text: str) -> Iterable[str]:
    """Contents of every fenced block of JSON."""
    parts = text.split(f"{_FENCE}json\n")[1:]
    return (part.partition(f"\n{_FENCE}")[0] for part in parts)


def _unreadable(file: str, why: str) -> Diagnostic:
    return Diagnostic(
        "E1008",
        f"{file} cannot be compared with: {why}",
        mend="Write one from a run that is known to be good: macfleet run golden RUN --release NAME",
        exit_code=ExitCode.USAGE,
    )
