"""`macfleet image scan`: known vulnerabilities in pinned images, found by the operator's own scanner."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from macfleet.cli.drain_each import finish, say
from macfleet.cli.fleet import FleetContext, fleet_command
from macfleet.cli.image_inspect import chosen_images
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

if TYPE_CHECKING:
    from macfleet.facts.scan import Scanned
    from macfleet.gates.scan_judgement import ScanJudgement
    from macfleet.inventory.scanner import ScannerSettings
    from macfleet.model.image import ResolvedImage
    from macfleet.model.json import Json
    from macfleet.registry import OciSources
    from macfleet.sources.scanner import ImageScanner, ScanCache

_SHOWN = 20


@click.command(short_help="Look for known vulnerabilities in pinned images.")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--platform", default="", metavar="OS/ARCHITECTURE", help="This platform only.")
@click.option("--again", is_flag=True, help="Scan images whose scan is still fresh too.")
@fleet_command
def scan(fleet: FleetContext, names: tuple[str, ...], platform: str, again: bool) -> int:
    """Scan pinned images for known vulnerabilities, and judge what is found by scan.yml.

    The scanner is the program that scanner: in macfleet.yml names and pins by its hash; it runs here, over
    the image as an OCI layout. What it found is kept by the image's digest. Exits 7 when scan.yml refuses an
    image; without a scan.yml findings are only shown.

    Example: macfleet image scan engine --platform linux/arm64
    """
    from macfleet.cli.image_lock import resolver_of
    from macfleet.cli.image_rules import judged, scan_cache
    from macfleet.gates.scan_judgement import ScanJudgement
    from macfleet.gates.scan_policy import load_scan_policy
    from macfleet.registry import OciSources
    from macfleet.sources.scanner import ImageScanner

    policy = load_scan_policy(fleet.files)
    chosen = list(chosen_images(fleet, names, platform))
    scanner = ImageScanner(_settings(fleet), fleet.root)
    cache = scan_cache(fleet)
    failed: list[MacfleetError] = []
    rows: list[Json] = []
    with resolver_of(fleet) as resolver:
        for name, image in chosen:
            try:
                found = _scanned(fleet, name, image, scanner, cache, OciSources(resolver), again=again)
            except MacfleetError as error:
                failed.append(error)
                continue
            verdict = judged(fleet, name, image, policy, cache) if policy else ScanJudgement()
            if verdict.refused:
                failed.append(MacfleetError(_refused(name, image.platform, each) for each in verdict.refused))
            rows.append(_row(name, image, found, verdict))
            if fleet.output != "json":
                _show(name, image, found, verdict, verbose=fleet.verbose)
    document: dict[str, Json] = {"schema": 1, "kind": "image.scan", "images": rows}
    return finish(failed, document if fleet.output == "json" else None)


def _settings(fleet: FleetContext) -> ScannerSettings:
    found = fleet.settings.scanner
    if found is None:
        raise MacfleetError(
            Diagnostic(
                "E0732",
                "no scanner is chosen",
                why="macfleet brings none: which one to trust, and whence its database, is yours to say.",
                mend="Name one under scanner: in macfleet.yml: command, sha256, format; see: macfleet docs "
                "settings",
            )
        )
    return found


def _scanned(
    fleet: FleetContext,
    name: str,
    image: ResolvedImage,
    scanner: ImageScanner,
    cache: ScanCache,
    sources: OciSources,
    *,
    again: bool,
) -> Scanned:
    """Return the image's scan: the kept one where it is fresh, else a new one, which is kept."""
    from macfleet.facts.scan import Scanned
    from macfleet.resources import local_name

    last = cache.last(image.manifest)
    now = fleet.clock.now()
    fresh = _settings(fleet).fresh
    if last is not None and not again and last.key == scanner.key and now - last.at <= fresh:
        return last
    if fleet.output != "json":
        say(f"scanning {name} for {image.platform} …")
    report = scanner.scan(sources.open(f"oci:{image.pinned}|{image.platform}|{local_name(image)}"))
    if report.image not in ("", image.config, image.manifest):
        raise MacfleetError(_another(name, image, report.image))
    database = report.database or scanner.database
    found = Scanned(now, scanner.program, scanner.key, database, report)
    cache.keep(image.manifest, found)
    return found


def _show(name: str, image: ResolvedImage, found: Scanned, verdict: ScanJudgement, *, verbose: bool) -> None:
    from macfleet.facts.scan import counted
    from macfleet.views.diagnostics import clean
    from macfleet.views.terminal import show

    mark = "✗" if verdict.refused else "✓"
    counts = ", ".join(f"{count} {rating.word}" for rating, count in counted(found.report.findings).items())
    lines = [f"{mark} {name} {image.platform}  {counts or 'nothing found'}  ({found.report.scanner})"]
    if found.report.suppressed:
        lines.append(f"  {found.report.suppressed} kept out of the report by the scanner's own settings")
    accepted = verdict.accepted if verbose else verdict.accepted[:_SHOWN]
    lines += [f"  let pass: {each}" for each in accepted]
    if hidden := len(verdict.accepted) - len(accepted):
        lines.append(f"  let pass: {hidden} more, shown with -v")
    if verdict.flagged:
        lines.append(f"  flagged by {len(verdict.flagged)}: {verdict.flagged[0]}")
    show(clean(line) for line in lines)


def _row(name: str, image: ResolvedImage, found: Scanned, verdict: ScanJudgement) -> dict[str, Json]:
    import datetime as dt

    findings: list[Json] = [{**asdict(each), "rating": each.rating.word} for each in found.report.findings]
    return {
        "name": name,
        "platform": image.platform,
        "manifest": image.manifest,
        "scanner": found.report.scanner,
        "scanned_at": dt.datetime.fromtimestamp(found.at, dt.UTC).isoformat(timespec="seconds"),
        "database": found.database,
        "suppressed": found.report.suppressed,
        "refused": list(verdict.refused),
        "accepted": list(verdict.accepted),
        "flagged": list(verdict.flagged),
        "findings": findings,
    }


def _another(name: str, image: ResolvedImage, found: str) -> Diagnostic:
    return Diagnostic(
        "E0736",
        f"the scanner looked at another image than {name} for {image.platform}: {found[:19]}",
        why=f"Its config is {image.config[:19]}; a report about other bytes says nothing about it.",
        mend="Let the command of scanner: in macfleet.yml read {layout} or {archive}, and nothing else.",
        exit_code=ExitCode.HELD,
    )


def _refused(name: str, platform: str, fault: str) -> Diagnostic:
    return Diagnostic(
        "E0737",
        f"image {name} for {platform}: {fault}",
        why="scan.yml says what a scan may find.",
        mend="Build the image with what mends it, then: macfleet image pin. Or put up with it for a while: "
        "exceptions: in scan.yml, with an end and a reason.",
        exit_code=ExitCode.HELD,
    )
