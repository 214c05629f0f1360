"""What a vulnerability scanner found in an image, in one form whichever scanner printed it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum

from macfleet.facts.scan_reading import ScanRefused, plain

FINDINGS_LIMIT = 200_000
"""Findings a report may have; the oldest images in use have a few thousand."""


class Rating(IntEnum):
    """How bad a vulnerability is, by the words scanners share; UNKNOWN is one that nobody rated yet."""

    UNKNOWN = 0
    NEGLIGIBLE = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    CRITICAL = 5

    @property
    def word(self) -> str:
        """The rating as people write it."""
        return self.name.lower()


_OTHER_WORDS = {"moderate": Rating.MEDIUM, "important": Rating.HIGH, "none": Rating.NEGLIGIBLE}
# Qualitative bands of CVSS 3 and 4: the lowest score of each.
_BANDS = ((9.0, Rating.CRITICAL), (7.0, Rating.HIGH), (4.0, Rating.MEDIUM), (0.1, Rating.LOW))


@dataclass(frozen=True, slots=True)
class Finding:
    """One vulnerability in one package of an image.

    Attributes:
        id: as the scanner names it, such as ``CVE-2026-1234``.
        aliases: other names of the same vulnerability, sorted.
        package, version: as installed.
        purl: package URL, empty where the scanner gives none.
        fixed: versions that mend it; empty while there are none.
    """

    id: str
    rating: Rating
    package: str
    version: str
    purl: str = ""
    fixed: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """Every name of the vulnerability."""
        return frozenset((self.id, *self.aliases))


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What one run of a scanner said.

    Attributes:
        scanner: name and version, as it says.
        database: when its database was built (RFC 3339), empty where the report does not say.
        image: config digest of the image it looked at, empty where the report does not say.
        findings: the worst first, each vulnerability of a package once.
        suppressed: findings that the scanner's own settings kept out of the report.
    """

    scanner: str
    database: str
    image: str
    findings: tuple[Finding, ...]
    suppressed: int = 0


@dataclass(frozen=True, slots=True)
class Scanned:
    """A scan that was kept.

    Attributes:
        at: seconds since the epoch.
        program: hex SHA-256 of the scanner's program.
        key: of the program, how it was called and the state of its database.
        database: when that was built (RFC 3339), empty where nobody knows.
    """

    at: float
    program: str
    key: str
    database: str
    report: ScanReport


def rating_of(word: str) -> Rating:
    """Return the rating a scanner's word means; UNKNOWN for words that are none."""
    name = word.strip().upper()
    return Rating[name] if name in Rating.__members__ else _OTHER_WORDS.get(name.lower(), Rating.UNKNOWN)


def rating_of_score(score: str) -> Rating:
    """Return the rating of a CVSS base score between 0 and 10; UNKNOWN for text that is none."""
    try:
        value = float(score)
    except ValueError:
        return Rating.UNKNOWN
    if not 0 <= value <= 10:
        return Rating.UNKNOWN
    return next((rating for least, rating in _BANDS if value >= least), Rating.NEGLIGIBLE)


def settled(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings once each, the worst first; the same one rated twice keeps the worse rating.

    Raises:
        ScanRefused: there are more than `FINDINGS_LIMIT`, or one has a name that is none.
    """
    kept: dict[tuple[str, str, str], Finding] = {}
    for count, each in enumerate(findings):
        if count >= FINDINGS_LIMIT:
            raise ScanRefused(f"it has more than {FINDINGS_LIMIT} findings")
        plain(each.id, "the name of a vulnerability")
        plain(each.package, "the name of a package")
        key = (each.id, each.package, each.version)
        known = kept.get(key)
        kept[key] = each if known is None else _both(known, each)
    return tuple(sorted(kept.values(), key=lambda each: (-each.rating, each.id, each.package, each.version)))


def counted(findings: Iterable[Finding]) -> Mapping[Rating, int]:
    """Return how many findings have each rating, the worst first; ratings without any are left out."""
    counts: dict[Rating, int] = {}
    for each in findings:
        counts[each.rating] = counts.get(each.rating, 0) + 1
    return {rating: counts[rating] for rating in sorted(counts, reverse=True)}


def _both(one: Finding, other: Finding) -> Finding:
    return replace(
        one,
        rating=max(one.rating, other.rating),
        fixed=tuple(dict.fromkeys((*one.fixed, *other.fixed))),
        aliases=tuple(sorted({*one.aliases, *other.aliases})),
        purl=one.purl or other.purl,
    )
