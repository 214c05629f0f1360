"""Reads signatures that cosign attaches to an image, made with a key.

Two forms are read: Sigstore bundles around a DSSE envelope (cosign 2.6 and later), whose in-toto statement
names the image's digest, and the older signature over a short JSON document that names it. Signatures by
certificate (keyless) are refused in words, and no transparency log is asked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Literal

from pydantic import Field

from macfleet.facts.model_signature import SIGNATURE_LIMIT, SignatureRefused, decoded, open_bundle, signer
from macfleet.facts.scan_reading import Part, ScanRefused, Words, read


def verify_bundle(bundle: bytes, keys: Mapping[str, str], digests: Collection[str]) -> str:
    """Return the name of the key that signed an image with one of these ``sha256:…`` digests.

    Raises:
        SignatureRefused: no trusted key signed it, it signs something else, or it is no image's signature.
    """
    key, statement = open_bundle(bundle, keys)
    try:
        found = read(_Statement, statement, "what is signed", SIGNATURE_LIMIT)
    except ScanRefused as error:
        raise SignatureRefused(str(error)) from error
    _must_be_meant([f"sha256:{each.digest.sha256}" for each in found.subject], digests)
    return key


def verify_simple(document: bytes, signature: str, keys: Mapping[str, str], digests: Collection[str]) -> str:
    """Return the name of the key that made the older kind of signature: base64 over a document.

    Raises:
        SignatureRefused: as `verify_bundle`.
    """
    key = signer([decoded(signature)], document, keys)
    try:
        found = read(_Simple, document, "what is signed", SIGNATURE_LIMIT)
    except ScanRefused as error:
        raise SignatureRefused(str(error)) from error
    _must_be_meant([found.critical.image.digest], digests)
    return key


def _must_be_meant(signed: Collection[str], digests: Collection[str]) -> None:
    if not set(signed) & set(digests):
        raise SignatureRefused("it signs another image")


class _Digest(Part):
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Subject(Part):
    digest: _Digest


class _Statement(Part):
    predicate_type: Annotated[Literal["https://sigstore.dev/cosign/sign/v1"], Field(alias="predicateType")]
    subject: Annotated[list[_Subject], Field(min_length=1, max_length=64)]


class _Image(Part):
    digest: Annotated[Words, Field(alias="docker-manifest-digest")]


class _Critical(Part):
    image: _Image
    type: Literal["cosign container image signature"]


class _Simple(Part):
    critical: _Critical
