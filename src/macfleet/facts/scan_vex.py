"""Reads statements on whether a vulnerability concerns a product: OpenVEX and CycloneDX VEX.

OpenVEX is read as its specification of version 0.2 (and 0.0, whose vulnerabilities and products may be plain
text); CycloneDX as of 1.4 and later, where the analysis of a vulnerability says the same in other words.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from macfleet.facts.model_bytes import shown
from macfleet.facts.scan import Finding
from macfleet.facts.scan_purl import ImageNames, decoded, names_image, names_package
from macfleet.facts.scan_reading import Part, ScanRefused, Words, plain, read

VEX_LIMIT = 16 * 2**20
"""Bytes a document of statements may have."""
NOT_AFFECTED, FIXED, AFFECTED, UNDER_INVESTIGATION = (
    "not_affected",
    "fixed",
    "affected",
    "under_investigation",
)
_STATES = {
    "not_affected": NOT_AFFECTED,
    "false_positive": NOT_AFFECTED,
    "resolved": FIXED,
    "resolved_with_pedigree": FIXED,
    "exploitable": AFFECTED,
    "in_triage": UNDER_INVESTIGATION,
}


@dataclass(frozen=True, slots=True)
class Product:
    """What a statement is about.

    Attributes:
        names: package URLs and ``sha256:…`` digests of one product.
        parts: package URLs of the parts that are meant; empty means all of it.
    """

    names: tuple[str, ...]
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VexStatement:
    """What somebody says of one vulnerability in some products.

    Attributes:
        vulnerability: its names.
        status: ``not_affected``, ``fixed``, ``affected`` or ``under_investigation``.
        why: the justification, in the words of the format, and what was added to it.
        authors: who says so, as the document does.
        when: seconds since the epoch; the latest statement about a finding counts.
    """

    vulnerability: frozenset[str]
    products: tuple[Product, ...]
    status: str
    why: str
    authors: tuple[str, ...]
    when: float

    @property
    def clears(self) -> bool:
        """Whether it says that there is nothing to mend."""
        return self.status in (NOT_AFFECTED, FIXED)

    def concerns(self, finding: Finding, image: ImageNames) -> bool:
        """Whether it speaks of this vulnerability in this package or in this image."""
        if not self.vulnerability & finding.names:
            return False
        return any(_meets(product, finding, image) for product in self.products)


def parse_vex(text: bytes) -> tuple[VexStatement, ...]:
    """Return the statements of an OpenVEX or CycloneDX document, the earliest first (raises ScanRefused)."""
    kind = read(_Kind, text, "the VEX document", VEX_LIMIT)
    if kind.context.startswith("https://openvex.dev/ns"):
        found = _openvex(read(_OpenVex, text, "the OpenVEX document", VEX_LIMIT))
    elif kind.bom_format == "CycloneDX":
        found = _cyclonedx(read(_CycloneDx, text, "the CycloneDX document", VEX_LIMIT))
    else:
        raise ScanRefused("it is neither OpenVEX (@context) nor CycloneDX (bomFormat)")
    return tuple(sorted(found, key=lambda each: each.when))


def _meets(product: Product, finding: Finding, image: ImageNames) -> bool:
    if any(names_image(name, image) for name in product.names):
        return not product.parts or any(names_package(part, finding) for part in product.parts)
    # A part of another product says nothing about the same package in this image.
    return any(names_package(name, finding) for name in product.names)


class _Kind(Part):
    context: Annotated[Words, Field(alias="@context")] = ""
    bom_format: Annotated[Words, Field(alias="bomFormat")] = ""


class _Component(Part):
    id: Annotated[Words, Field(alias="@id")] = ""
    identifiers: dict[str, Words] = Field(default_factory=dict)
    hashes: dict[str, Words] = Field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name a scanner's finding can be compared with."""
        digest = self.hashes.get("sha-256", "")
        found = (self.id, self.identifiers.get("purl", ""), f"sha256:{digest}" if digest else "")
        return tuple(name for name in found if name)


class _Product(_Component):
    subcomponents: list[_Component | Words] = Field(default_factory=list)


class _Named(Part):
    name: Words
    aliases: list[Words] = Field(default_factory=list)


class _Statement(Part):
    vulnerability: _Named | Words
    products: list[_Product | Words]
    status: Literal["not_affected", "affected", "fixed", "under_investigation"]
    justification: Words = ""
    impact: Annotated[Words, Field(alias="impact_statement")] = ""
    timestamp: Words = ""


class _OpenVex(Part):
    author: Words
    timestamp: Words
    statements: list[_Statement]


def _openvex(document: _OpenVex) -> Iterator[VexStatement]:
    for each in document.statements:
        about = each.vulnerability
        names = {about} if isinstance(about, str) else {about.name, *about.aliases}
        first = plain(about if isinstance(about, str) else about.name, "the name of a vulnerability")
        if each.status == NOT_AFFECTED and not (each.justification or each.impact):
            raise ScanRefused(f"{first} is called not affected without a justification")
        yield VexStatement(
            frozenset(names),
            tuple(map(_product, each.products)),
            each.status,
            _why(each.status, each.justification, each.impact),
            (document.author,),
            _moment(each.timestamp or document.timestamp),
        )


def _product(product: _Product | str) -> Product:
    if isinstance(product, str):
        return Product((product,))
    parts = (name for part in product.subcomponents for name in _names(part))
    return Product(product.names, tuple(parts))


def _names(part: _Component | str) -> tuple[str, ...]:
    return (part,) if isinstance(part, str) else part.names


class _Hash(Part):
    alg: Words
    content: Words


class _Bom(Part):
    ref: Annotated[Words, Field(alias="bom-ref")] = ""
    purl: Words = ""
    hashes: list[_Hash] = Field(default_factory=list)
    components: list[_Bom] = Field(default_factory=list)

    def all(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield the names of this component and of those inside it, by reference."""
        digests = [f"sha256:{each.content}" for each in self.hashes if each.alg == "SHA-256"]
        yield self.ref, tuple(name for name in (self.purl, *digests) if name)
        for each in self.components:
            yield from each.all()


class _Person(Part):
    name: Words = ""
    email: Words = ""


class _Metadata(Part):
    timestamp: Words = ""
    authors: list[_Person] = Field(default_factory=list)
    supplier: _Person | None = None
    component: _Bom | None = None


class _Affects(Part):
    ref: Words


class _Analysis(Part):
    state: Words
    justification: Words = ""
    detail: Words = ""
    updated: Annotated[Words, Field(alias="lastUpdated")] = ""


class _Reference(Part):
    id: Words


class _Vulnerability(Part):
    id: Words
    references: list[_Reference] = Field(default_factory=list)
    analysis: _Analysis | None = None
    affects: list[_Affects] = Field(default_factory=list)


class _CycloneDx(Part):
    metadata: _Metadata = Field(default_factory=_Metadata)
    components: list[_Bom] = Field(default_factory=list)
    vulnerabilities: list[_Vulnerability]


def _cyclonedx(document: _CycloneDx) -> Iterator[VexStatement]:
    people = (*document.metadata.authors, *filter(None, (document.metadata.supplier,)))
    authors = tuple(word for each in people for word in (each.name, each.email) if word)
    tops = (*filter(None, (document.metadata.component,)), *document.components)
    known = dict(pair for each in tops for pair in each.all())
    for each in document.vulnerabilities:
        found = each.analysis
        if found is None:
            continue
        name = plain(each.id, "the name of a vulnerability")
        if found.state not in _STATES:
            raise ScanRefused(f"the analysis of {name} has the unknown state {shown(found.state)}")
        status = _STATES[found.state]
        if status == NOT_AFFECTED and not (found.justification or found.detail):
            raise ScanRefused(f"{name} is called {found.state} without a justification")
        yield VexStatement(
            frozenset({name, *(reference.id for reference in each.references)}),
            tuple(Product(_referred(affects.ref, known)) for affects in each.affects),
            status,
            _why(found.state, found.justification, found.detail),
            authors,
            _moment(found.updated or document.metadata.timestamp),
        )


def _referred(ref: str, known: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the names of what is referred to: a component here, or the purl a link elsewhere ends in."""
    if ref in known:
        return known[ref]
    link = decoded(ref.partition("#")[2]) if ref.startswith("urn:cdx:") else ref
    return (link,)


def _why(status: str, justification: str, added: str) -> str:
    words = justification or status
    return shown(f"{words} ({added})" if added else words)


def _moment(text: str) -> float:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise ScanRefused(f"{shown(text) or 'an empty text'} is no time of a statement") from error
    return moment.replace(tzinfo=moment.tzinfo or dt.UTC).timestamp()
