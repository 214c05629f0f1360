"""`macfleet contract generate`: fixtures of a wanted length, out of a seed."""

from __future__ import annotations

import click

from macfleet.cli.fleet import FleetContext, fleet_command
from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError

_ROOT = "contract"


@click.command()
@click.argument("bucket")
@click.option("--tokens", default=0, metavar="N", help="Prompt tokens; all that fit unless said.")
@click.option("--count", default=6, show_default=True, metavar="K", help="How many fixtures.")
@click.option("--seed", default=1, show_default=True, metavar="S", help="Another seed gives other texts.")
@fleet_command
def generate(fleet: FleetContext, bucket: str, tokens: int, count: int, seed: int) -> None:
    """Write fixtures of a wanted context length for a bucket; the same arguments give the same bytes.

    Tokens are estimated, one a word and one a full stop; the usage of every measured request has the model's
    own count. A file that is there with other content is never replaced.

    Example: macfleet contract generate long --tokens 1900 --count 6 --seed 7
    """
    from macfleet.contract.generate import Wanted
    from macfleet.contract.generate import generate as make
    from macfleet.contract.load import CONTRACT_FILE, load_promise
    from macfleet.views.terminal import show, show_json

    promise = load_promise(fleet.files, _ROOT)
    where = Location(f"{_ROOT}/{CONTRACT_FILE}")
    made = make(promise, Wanted(bucket, tokens, count, seed), where)
    fresh = _fresh(fleet, made)
    for path in fresh:
        target = fleet.root / _ROOT / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(made[path], encoding="utf-8")
    if fleet.output == "json":
        show_json(
            {
                "schema": 1,
                "kind": "contract.generate",
                "bucket": bucket,
                "files": list(made),
                "written": fresh,
            }
        )
        return
    show([f"{'+' if path in fresh else '·'} {_ROOT}/{path}" for path in made])
    if fresh:
        show([f"Set version: {promise.version + 1} in {where.file}, then: macfleet contract freeze"])


def _fresh(fleet: FleetContext, made: dict[str, str]) -> list[str]:
    """Return the files that are not there yet (raises MacfleetError E0724 for those with other content)."""
    there = {path: f"{_ROOT}/{path}" for path in made if fleet.files.exists(f"{_ROOT}/{path}")}
    problems = [
        Diagnostic(
            "E0724",
            f"{full} is there with other content",
            why="A fixture that was measured with is never replaced.",
            mend="Choose another --seed, or remove the file on purpose.",
            where=Location(full),
        )
        for path, full in there.items()
        if fleet.files.read(full) != made[path].encode()
    ]
    if problems:
        raise MacfleetError(problems)
    return [path for path in made if path not in there]
