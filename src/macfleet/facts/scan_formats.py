"""The formats of scanners that are read, by name, and what the programs tell of their databases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

from pydantic import Field

from macfleet.facts.scan import ScanReport
from macfleet.facts.scan_grype import parse_grype
from macfleet.facts.scan_osv import parse_osv
from macfleet.facts.scan_reading import Part, ScanRefused, Words, read
from macfleet.facts.scan_trivy import parse_trivy

FORMATS: Mapping[str, Callable[[bytes], ScanReport]] = {
    "grype": parse_grype,
    "trivy": parse_trivy,
    "osv": parse_osv,
}
"""Each raises ScanRefused for a report that is not of its format."""
EXITS: Mapping[str, frozenset[int]] = {
    "grype": frozenset({0}),
    "trivy": frozenset({0}),
    "osv": frozenset({0, 1}),  # 1: something was found
}
"""How a scanner may end that did its work."""


class _Database(Part):
    updated: Annotated[Words, Field(alias="UpdatedAt")] = ""


class _Status(Part):
    built: Words = ""
    database: Annotated[_Database | None, Field(alias="VulnerabilityDB")] = None


def database_built(status: bytes) -> str:
    """Return when a scanner's database was built (RFC 3339), empty where its status does not say.

    Understood are `grype db status -o json` and `trivy version --format json`.
    """
    try:
        found = read(_Status, status, "the scanner's status")
    except ScanRefused:
        return ""
    return found.built or (found.database.updated if found.database else "")
