"""Reads what `grype … -o json` prints (the document of its presenter, database schemas 5 and 6)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from macfleet.facts.scan import Finding, ScanReport, rating_of, settled
from macfleet.facts.scan_reading import Part, Words, read


def parse_grype(text: bytes) -> ScanReport:
    """Return what Grype found (raises ScanRefused)."""
    report = read(_Report, text, "Grype's report")
    descriptor, database = report.descriptor, report.descriptor.db
    built = (database.built or (database.status.built if database.status else "")) if database else ""
    image = report.source.image if report.source else ""
    name = f"{descriptor.name or 'grype'} {descriptor.version}".strip()
    return ScanReport(name, built, image, settled(map(_finding, report.matches)), len(report.ignored or ()))


class _Fix(Part):
    versions: list[Words] | None = None


class _Vulnerability(Part):
    id: Words
    severity: Words = ""
    fix: _Fix = Field(default_factory=_Fix)


class _Related(Part):
    id: Words


class _Artifact(Part):
    name: Words
    version: Words = ""
    purl: Words = ""


class _Match(Part):
    vulnerability: _Vulnerability
    related: Annotated[list[_Related] | None, Field(alias="relatedVulnerabilities")] = None
    artifact: _Artifact


class _Ignored(Part):
    pass


class _Status(Part):
    built: Words = ""


class _Database(Part):
    built: Words = ""
    status: _Status | None = None


class _Descriptor(Part):
    name: Words = ""
    version: Words = ""
    db: _Database | None = None


class _Source(Part):
    target: object = None

    @property
    def image(self) -> str:
        """The image's config digest; a folder that was scanned has none."""
        found = self.target.get("imageID") if isinstance(self.target, dict) else None
        return found if isinstance(found, str) else ""


class _Report(Part):
    matches: list[_Match]
    ignored: Annotated[list[_Ignored] | None, Field(alias="ignoredMatches")] = None
    source: _Source | None = None
    descriptor: _Descriptor


def _finding(match: _Match) -> Finding:
    found, artifact = match.vulnerability, match.artifact
    aliases = sorted({each.id for each in match.related or ()} - {found.id})
    return Finding(
        found.id,
        rating_of(found.severity),
        artifact.name,
        artifact.version,
        artifact.purl,
        tuple(found.fix.versions or ()),
        tuple(aliases),
    )
