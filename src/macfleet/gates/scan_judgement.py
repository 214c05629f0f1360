"""What a fleet makes of a scan: what refuses an image, and what was let pass and why."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from macfleet.facts.model_bytes import shown

if TYPE_CHECKING:  # a rollout without scan.yml reads no scanner's format
    from macfleet.facts.scan import Finding, Rating, Scanned
    from macfleet.facts.scan_purl import ImageNames
    from macfleet.facts.scan_vex import VexStatement
    from macfleet.model.diagnostic import Location

_DAY = 86400.0


@dataclass(frozen=True, slots=True)
class ScanException:
    """A vulnerability that is put up with for a while.

    Attributes:
        images, packages: where; empty means anywhere.
        expires: last day it counts, in UTC.
    """

    id: str
    images: tuple[str, ...]
    packages: tuple[str, ...]
    expires: dt.date
    reason: str
    where: Location


@dataclass(frozen=True, slots=True)
class Vex:
    """Statements of one document that scan.yml trusts until a day, in UTC."""

    file: str
    expires: dt.date
    statements: tuple[VexStatement, ...]
    where: Location


@dataclass(frozen=True, slots=True)
class ScanPolicy:
    """What scan.yml asks.

    Attributes:
        limit: findings rated so, or worse, refuse an image.
        unrated: what a finding that nobody rated counts as.
        flag: findings rated so, or worse, flag an image; None flags nothing.
        unfixed: whether findings that no version mends count.
        max_age: seconds a scan stands for; database_age: seconds since the scanner's database was built, 0
            asks nothing.
    """

    limit: Rating
    unrated: Rating
    flag: Rating | None
    unfixed: bool
    max_age: float
    database_age: float
    exceptions: tuple[ScanException, ...] = ()
    vex: tuple[Vex, ...] = ()


@dataclass(frozen=True, slots=True)
class ScanJudgement:
    """What the policy says of an image: what refuses it, what was let pass and why, and what flags it."""

    refused: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    flagged: tuple[str, ...] = ()


def judge_scan(
    name: str, image: ImageNames, scan: Scanned | None, policy: ScanPolicy, now: float
) -> ScanJudgement:
    """Return what the policy makes of an image's scan at a time in seconds since the epoch.

    A scan that is missing or too old refuses; so does an exception or a VEX document that has expired and
    would have let a finding pass.
    """
    if scan is None:
        return ScanJudgement(("it was not scanned",))
    refused = [*_too_old(scan, policy, now)]
    accepted: list[str] = []
    flagged: list[str] = []
    today = dt.datetime.fromtimestamp(now, dt.UTC).date()
    least = min(policy.limit, policy.limit if policy.flag is None else policy.flag)
    for finding in scan.report.findings:
        rating = finding.rating or policy.unrated
        if rating < least or not (finding.fixed or policy.unfixed):
            continue
        words = _words(finding, rating)
        expired: list[str] = []
        if why := _let_pass(name, image, finding, policy, today, expired):
            accepted.append(f"{words}: {why}")
        elif rating >= policy.limit:
            refused.append("; ".join((words, *expired)))
        else:
            flagged.append("; ".join((words, *expired)))
    return ScanJudgement(tuple(refused), tuple(accepted), tuple(flagged))


def _let_pass(
    name: str, image: ImageNames, finding: Finding, policy: ScanPolicy, today: dt.date, expired: list[str]
) -> str:
    """Return why a finding is put up with, empty when it is not; adds what would have said so but expired."""
    for document in policy.vex:
        statement = _latest(document.statements, finding, image)
        if statement is not None and statement.clears:
            if today <= document.expires:
                return f"{statement.status}, {statement.why} ({document.file})"
            expired.append(f"{document.file} expired on {document.expires} ({document.where})")
    for each in policy.exceptions:
        applies = each.id in finding.names and (not each.images or name in each.images)
        if applies and (not each.packages or finding.package in each.packages):
            if today <= each.expires:
                return f"excepted until {each.expires}, {each.reason} ({each.where})"
            expired.append(f"its exception expired on {each.expires}: {each.reason} ({each.where})")
    return ""


def _latest(statements: Sequence[VexStatement], finding: Finding, image: ImageNames) -> VexStatement | None:
    return next((each for each in reversed(statements) if each.concerns(finding, image)), None)


def _words(finding: Finding, rating: Rating) -> str:
    called = rating.word if finding.rating else f"not rated, counts as {rating.word}"
    mended = f", mended in {shown(', '.join(finding.fixed))}" if finding.fixed else ", not mended anywhere"
    return f"{finding.id} ({called}) in {finding.package} {shown(finding.version)}{mended}"


def _too_old(scan: Scanned, policy: ScanPolicy, now: float) -> list[str]:
    found = []
    if now - scan.at > policy.max_age:
        found.append(f"it was scanned {_days(now - scan.at)} ago, more than {_days(policy.max_age)}")
    if policy.database_age:
        try:
            built = dt.datetime.fromisoformat(scan.database)
        except ValueError:
            return [*found, "nobody knows how old the scanner's database is (set status: under scanner:)"]
        age = now - built.replace(tzinfo=built.tzinfo or dt.UTC).timestamp()
        if age > policy.database_age:
            most = _days(policy.database_age)
            found.append(f"the scanner's database was {_days(age)} old, more than {most}")
    return found


def _days(seconds: float) -> str:
    return f"{seconds / _DAY:.3g} days"
