"""`scan.yml`: what a scan may find, what is put up with and until when, and whose VEX statements count."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from macfleet.documents import Border, Document, Seconds, parse_yaml, validate
from macfleet.facts.scan import Rating
from macfleet.facts.scan_reading import ScanRefused
from macfleet.facts.scan_vex import parse_vex
from macfleet.gates.scan_judgement import ScanException, ScanPolicy, Vex
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.ports import Files

SCAN_FILE = "scan.yml"
_Rated = Literal["negligible", "low", "medium", "high", "critical"]


def _day(text: str) -> str:
    dt.date.fromisoformat(text)
    return text


Day = Annotated[str, AfterValidator(_day)]


class ExceptionModel(Border):
    """A vulnerability that is put up with for a while."""

    id: str = Field(min_length=1, description="name of the vulnerability, or one of its aliases")
    images: tuple[str, ...] = Field((), description="names of images.yml; default: all")
    packages: tuple[str, ...] = Field((), description="names of packages; default: all")
    expires: Day = Field(description="last day it counts, such as 2027-01-31")
    reason: str = Field(min_length=1, description="why, shown wherever it counts")


class VexModel(Border):
    """A document of VEX statements that is trusted."""

    file: str = Field(min_length=1, description="OpenVEX or CycloneDX JSON in the fleet folder")
    author: str = Field(min_length=1, description="whose statements it must hold, as the document names them")
    expires: Day = Field(description="last day it counts, such as 2027-01-31")


class ScanModel(Border):
    """The whole of `scan.yml`."""

    limit: _Rated = Field("high", description="findings rated so, or worse, refuse an image")
    unrated: _Rated = Field("medium", description="what a finding that nobody rated counts as")
    flag: _Rated | None = Field(
        None, description="findings rated so, or worse, but below the limit, flag an image"
    )
    unfixed: bool = Field(True, strict=True, description="whether findings that no version mends count")
    max_age: Seconds = Field(7 * 86400.0, description="how long a scan stands for its image")
    database_age: Seconds = Field(
        0.0, description="how old the scanner's database may have been; 0 asks nothing"
    )
    exceptions: tuple[ExceptionModel, ...] = ()
    vex: tuple[VexModel, ...] = ()


def load_scan_policy(files: Files, path: str = SCAN_FILE) -> ScanPolicy | None:
    """Read `scan.yml` and the VEX documents it names; None when there is no such file.

    Raises:
        MacfleetError: E0730 unknown keys and wrong values, E0731 a VEX document that cannot be read or that
            somebody else wrote.
    """
    if not files.exists(path):
        return None
    document = parse_yaml(files.read(path), path)
    model = validate(document, ScanModel, code="E0730", kind="scan.yml")
    problems: list[Diagnostic] = []
    vex = [_vex(files, document, at, each, problems) for at, each in enumerate(model.vex)]
    if problems:
        raise MacfleetError(problems)
    exceptions = (_exception(document, at, each) for at, each in enumerate(model.exceptions))
    return ScanPolicy(
        _rating(model.limit),
        _rating(model.unrated),
        _rating(model.flag) if model.flag else None,
        model.unfixed,
        model.max_age,
        model.database_age,
        tuple(exceptions),
        tuple(each for each in vex if each is not None),
    )


def _rating(word: str) -> Rating:
    return Rating[word.upper()]


def _exception(document: Document, at: int, model: ExceptionModel) -> ScanException:
    where = document.at("exceptions", at, "id")
    expires = dt.date.fromisoformat(model.expires)
    return ScanException(model.id, model.images, model.packages, expires, model.reason, where)


def _vex(
    files: Files, document: Document, at: int, model: VexModel, problems: list[Diagnostic]
) -> Vex | None:
    try:
        statements = parse_vex(files.read(model.file))
    except FileNotFoundError:
        fault = "is not there"
    except ScanRefused as error:
        fault = f"cannot be read: {error}"
    else:
        others = sorted({name for each in statements for name in each.authors or ("nobody",)})
        strangers = [each for each in statements if model.author not in each.authors]
        where = document.at("vex", at, "file")
        if not strangers:
            return Vex(model.file, dt.date.fromisoformat(model.expires), statements, where)
        fault = f"holds statements of {', '.join(others)}, not of {model.author}"
    why = "Statements that clear a finding count only from who is trusted to make them."
    summary = f"VEX document {model.file} {fault}"
    problems.append(document.diagnose("E0731", summary, "vex", at, "file", why=why, on_value=True))
    return None
