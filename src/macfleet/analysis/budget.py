"""Where the milliseconds of one request may go: ``contract/budget.yml``, and how each term stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field

from macfleet.documents import Border, Document, Seconds, parse_yaml, validate
from macfleet.model.contract import Contract
from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError
from macfleet.model.ports import Files
from macfleet.model.run import Interval
from macfleet.model.stage import Outcome

FILE = "contract/budget.yml"
NOT_MEASURED = "not measured"
NETWORK, FIRST_TOKEN, DECODE = "network proof", "time to first token", "inter-token latency × output"
ALGORITHMIC, ENVIRONMENTAL = "algorithmic", "environmental"


@dataclass(frozen=True, slots=True)
class Term:
    """One part of a request's time.

    Attributes:
        budget: seconds it may take at the 95th percentile.
        measured_by: the figure that fills it, or ``not measured``.
        kind: ``algorithmic`` (mended by model or quantisation) or ``environmental`` (mounts, VM, neighbours):
            what an overrun is unless another arm shows better.
    """

    name: str
    budget: float
    measured_by: str
    kind: str


@dataclass(frozen=True, slots=True)
class Budget:
    """The file: terms of one request of a bucket at a concurrency, in the file's order."""

    bucket: str
    concurrency: int
    terms: tuple[Term, ...]
    where: Location | None = field(default=None, compare=False)

    @property
    def cell(self) -> str:
        """Return the name of the cell whose figures fill the terms."""
        return f"{self.bucket}×{self.concurrency}"

    @property
    def whole(self) -> float:
        """Return what all terms together may take, in seconds."""
        return sum(term.budget for term in self.terms)


@dataclass(frozen=True, slots=True)
class Measurement:
    """A figure for one term, in seconds; `how` says in words what it is, `evidence` where it stands."""

    seconds: Interval
    how: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Spent:
    """How one term stands.

    Attributes:
        outcome: FAIL over its budget, PASS within it, INCONCLUSIVE when the interval holds the budget or
            there is none, NOT_APPLICABLE when it was not measured.
        kind: of an overrun ``algorithmic`` or ``environmental``, else empty; why: how that is known, or why
            there is no outcome.
    """

    term: Term
    outcome: Outcome
    measurement: Measurement | None = None
    kind: str = ""
    why: str = ""


def spent(term: Term, measured: Measurement, base: Measurement | None, base_arm: str = "") -> Spent:
    """Judge one term.

    Args:
        term: what it may take.
        measured: what it takes on the arm in question.
        base: the same figure on the arm without what the other adds; None where there is none.
        base_arm: name of that arm.
    """
    outcome = _outcome(term.budget, measured.seconds)
    if outcome is not Outcome.FAIL:
        few = "too few requests for an interval" if measured.seconds.low is None else ""
        return Spent(term, outcome, measured, why=few if outcome is Outcome.INCONCLUSIVE else "")
    kind, why = _kind(term, base, base_arm)
    return Spent(term, outcome, measured, kind, why)


def _outcome(budget: float, seconds: Interval) -> Outcome:
    if seconds.low is None or seconds.high is None:
        return Outcome.INCONCLUSIVE
    if seconds.low > budget:
        return Outcome.FAIL
    return Outcome.PASS if seconds.high <= budget else Outcome.INCONCLUSIVE


def _kind(term: Term, base: Measurement | None, base_arm: str) -> tuple[str, str]:
    """Class an overrun: what the base arm does not have was added on the way to it."""
    if term.kind == ENVIRONMENTAL or base is None:
        alone = "" if base is not None or term.kind == ENVIRONMENTAL else "; no other arm to hold it against"
        return term.kind, f"as {FILE} says{alone}"
    there = _outcome(term.budget, base.seconds)
    if there is Outcome.PASS:
        return ENVIRONMENTAL, f"{base_arm} is within the budget with the same model"
    if there is Outcome.FAIL:
        return term.kind, f"{base_arm} is over it as well"
    return term.kind, f"as {FILE} says; {base_arm} does not settle it"


def load_budget(files: Files, contract: Contract | None = None, path: str = FILE) -> Budget | None:
    """Read the budget; None where there is no file.

    Raises:
        MacfleetError: every problem of the file: E0101 to E0104, E1092 a term twice; with a contract E1090 a
            bucket and E1091 a concurrency it does not promise.
    """
    if not files.exists(path):
        return None
    return parse_budget(parse_yaml(files.read(path), path), contract)


def parse_budget(document: Document, contract: Contract | None = None) -> Budget:
    """Return the budget of a parsed file (raises as `load_budget`)."""
    found = validate(document, BudgetFile, kind="budget")
    problems: list[Diagnostic] = []
    names = [row.term for row in found.terms]
    problems += [
        document.diagnose("E1092", f'the term "{name}" stands twice', "terms", place, "term", on_value=True)
        for place, name in enumerate(names)
        if name in names[:place]
    ]
    if contract is not None:
        buckets = [bucket.name for bucket in contract.buckets]
        if found.bucket not in buckets:
            text = f"the contract has no bucket {found.bucket}"
            mend = f"One of: {', '.join(buckets)}."
            problems.append(document.diagnose("E1090", text, "bucket", mend=mend, on_value=True))
        if found.concurrency not in contract.concurrency:
            text = f"the contract does not promise concurrency {found.concurrency}"
            mend = f"One of: {', '.join(map(str, contract.concurrency))}."
            problems.append(document.diagnose("E1091", text, "concurrency", mend=mend, on_value=True))
    if problems:
        raise MacfleetError(problems)
    terms = tuple(Term(row.term, row.budget, row.measured_by, row.kind) for row in found.terms)
    return Budget(found.bucket, found.concurrency, terms, document.at())


class TermBorder(Border):
    """One term."""

    term: str = Field(min_length=1, description="its name")
    budget: Seconds = Field(gt=0, description="what it may take at the 95th percentile, such as 8ms")
    measured_by: Literal[
        "not measured", "network proof", "time to first token", "inter-token latency × output"
    ] = Field(description="the figure that fills it")
    kind: Literal["algorithmic", "environmental"] = Field(
        alias="class", description="how an overrun is mended, unless another arm shows better"
    )


class BudgetFile(Border):
    """``contract/budget.yml``."""

    bucket: str = Field(description="whose requests the budget is of")
    concurrency: int = Field(ge=1, description="at which they are sent")
    terms: list[TermBorder] = Field(min_length=1, description="parts of one request's time")
