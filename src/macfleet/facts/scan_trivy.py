"""Reads what `trivy image --format json` prints (schema version 2)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from macfleet.facts.scan import Finding, ScanReport, rating_of, settled
from macfleet.facts.scan_reading import Part, Words, read


def parse_trivy(text: bytes) -> ScanReport:
    """Return what Trivy found (raises ScanRefused); its report does not say how old its database is."""
    report = read(_Report, text, "Trivy's report")
    results = report.results or []
    found = [_finding(each) for result in results for each in result.vulnerabilities or ()]
    suppressed = sum(len(result.modified or ()) for result in results)
    image = report.metadata.image if report.metadata else ""
    name = f"trivy {report.trivy.version if report.trivy else ''}".strip()
    return ScanReport(name, "", image, settled(found), suppressed)


class _Identifier(Part):
    purl: Annotated[Words, Field(alias="PURL")] = ""


class _Vulnerability(Part):
    id: Annotated[Words, Field(alias="VulnerabilityID")]
    vendor_ids: Annotated[list[Words] | None, Field(alias="VendorIDs")] = None
    package: Annotated[Words, Field(alias="PkgName")]
    identifier: Annotated[_Identifier | None, Field(alias="PkgIdentifier")] = None
    version: Annotated[Words, Field(alias="InstalledVersion")] = ""
    fixed: Annotated[Words, Field(alias="FixedVersion")] = ""
    severity: Annotated[Words, Field(alias="Severity")] = ""


class _Modified(Part):
    pass


class _Result(Part):
    vulnerabilities: Annotated[list[_Vulnerability] | None, Field(alias="Vulnerabilities")] = None
    modified: Annotated[list[_Modified] | None, Field(alias="ExperimentalModifiedFindings")] = None


class _Metadata(Part):
    image: Annotated[Words, Field(alias="ImageID")] = ""


class _Trivy(Part):
    version: Annotated[Words, Field(alias="Version")] = ""


class _Report(Part):
    schema_version: Annotated[Literal[2], Field(alias="SchemaVersion")]
    trivy: Annotated[_Trivy | None, Field(alias="Trivy")] = None
    metadata: Annotated[_Metadata | None, Field(alias="Metadata")] = None
    results: Annotated[list[_Result] | None, Field(alias="Results")] = None


def _finding(found: _Vulnerability) -> Finding:
    fixed = tuple(version.strip() for version in found.fixed.split(",") if version.strip())
    return Finding(
        found.id,
        rating_of(found.severity),
        found.package,
        found.version,
        found.identifier.purl if found.identifier else "",
        fixed,
        tuple(sorted({*(found.vendor_ids or ())} - {found.id})),
    )
