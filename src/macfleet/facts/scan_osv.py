"""Reads what `osv-scanner … --format json` prints: packages with advisories of the OSV schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from macfleet.facts.scan import Finding, Rating, ScanReport, rating_of, rating_of_score, settled
from macfleet.facts.scan_reading import Part, Words, read


def parse_osv(text: bytes) -> ScanReport:
    """Return what OSV-Scanner found (raises ScanRefused).

    Advisories that name each other are one finding, as its groups say; the report names neither the image
    nor the age of its database.
    """
    report = read(_Report, text, "OSV-Scanner's report")
    packages = [each for source in report.results or () for each in source.packages or ()]
    found = [finding for package in packages for finding in _findings(package)]
    return ScanReport("osv-scanner", "", "", settled(found))


class _Package(Part):
    name: Words
    version: Words = ""
    purl: Words = ""


class _Event(Part):
    fixed: Words = ""


class _Range(Part):
    events: list[_Event] | None = None


class _Affected(Part):
    package: _Package | None = None
    ranges: list[_Range] | None = None


class _Specific(Part):
    severity: object = None  # databases put what they like here


class _Advisory(Part):
    id: Words
    aliases: list[Words] | None = None
    affected: list[_Affected] | None = None
    specific: Annotated[_Specific | None, Field(alias="database_specific")] = None


class _Group(Part):
    ids: list[Words]
    aliases: list[Words] | None = None
    max_severity: Words = ""


class _Found(Part):
    package: _Package
    vulnerabilities: list[_Advisory] | None = None
    groups: list[_Group] | None = None


class _Source(Part):
    packages: list[_Found] | None = None


class _Report(Part):
    results: list[_Source] | None


def _findings(found: _Found) -> Iterator[Finding]:
    advisories = {each.id: each for each in found.vulnerabilities or ()}
    groups = [group for group in found.groups or () if group.ids]
    grouped = {name for group in groups for name in group.ids}
    groups += [_Group(ids=[name]) for name in advisories if name not in grouped]
    for group in groups:
        about = [advisories[name] for name in group.ids if name in advisories]
        names = {*group.ids, *(group.aliases or ()), *(name for each in about for name in each.aliases or ())}
        first = min(names, key=lambda name: (not name.startswith("CVE-"), name))
        yield Finding(
            first,
            _rating(group, about),
            found.package.name,
            found.package.version,
            found.package.purl,
            tuple(dict.fromkeys(version for each in about for version in _fixed(each, found.package.name))),
            tuple(sorted(names - {first})),
        )


def _rating(group: _Group, about: list[_Advisory]) -> Rating:
    said = [each.specific.severity for each in about if each.specific]
    words = (rating_of(each) for each in said if isinstance(each, str))
    return max([rating_of_score(group.max_severity), *words])


def _fixed(advisory: _Advisory, package: str) -> Iterator[str]:
    for affected in advisory.affected or ():
        if affected.package is None or affected.package.name == package:
            events = (event for each in affected.ranges or () for event in each.events or ())
            yield from (event.fixed for event in events if event.fixed)
