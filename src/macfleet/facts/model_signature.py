"""Reads a model's signature: a Sigstore bundle around a DSSE envelope, as OpenSSF model signing writes it.

The envelope's payload is an in-toto statement that names every file of the model with its SHA-256. A key
that the fleet trusts must have signed it; signatures by certificate (keyless) are refused in words, because
they prove nothing without a trusted root and a transparency log.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from macfleet.facts.model_bytes import shown

SIGNATURE = "model.sig"
"""What the signature is called in a model's folder."""
SIGNATURE_LIMIT = 2**20
"""Bytes a signature may have: a thousand files take a quarter of it."""
_PAYLOAD = "application/vnd.in-toto+json"
_Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class SignatureRefused(ValueError):
    """The signature proves nothing; the message says why, one line without a full stop."""


@dataclass(frozen=True, slots=True)
class Signed:
    """What a trusted key has signed.

    Attributes:
        key: the name under which the key is trusted.
        files: hex SHA-256 by path, relative to the model's folder.
    """

    key: str
    files: Mapping[str, str]


def verify_signature(bundle: bytes, keys: Mapping[str, str]) -> Signed:
    """Return what one of `keys` (public keys as PEM, Ed25519 or ECDSA, by name) signed.

    Raises:
        SignatureRefused: no trusted key signed it, or it is not what a model's signature is.
        ValueError: a key cannot be used, see `key_problem`.
    """
    key, payload = open_bundle(bundle, keys)
    return Signed(key, _files(_read(_Statement, payload, "what is signed")))


def open_bundle(bundle: bytes, keys: Mapping[str, str]) -> tuple[str, bytes]:
    """Return which of `keys` signed a bundle, and the statement it signed (raises as `verify_signature`)."""
    if len(bundle) > SIGNATURE_LIMIT:
        raise SignatureRefused(f"the signature is longer than {SIGNATURE_LIMIT} bytes")
    read = _read(_Bundle, bundle, "the signature")
    if read.material.public_key is None:
        raise SignatureRefused("it is signed by a certificate, which is not checked here; only keys are")
    payload = decoded(read.envelope.payload)
    signed = b"DSSEv1 %d %b %d %b" % (len(_PAYLOAD), _PAYLOAD.encode(), len(payload), payload)
    return signer([decoded(each.sig) for each in read.envelope.signatures], signed, keys), payload


def signer(signatures: Sequence[bytes], signed: bytes, keys: Mapping[str, str]) -> str:
    """Return the name of the key that made one of the signatures (raises as `verify_signature`)."""
    from macfleet.facts.model_key import is_signed_by, read_key  # noqa: PLC0415  (ciphers load only here)

    for name, pem in sorted(keys.items()):
        key = read_key(pem)
        if any(is_signed_by(key, each, signed) for each in signatures):
            return name
    raise SignatureRefused("no key that is trusted signed it" if keys else "no key is trusted")


def key_problem(pem: str) -> str:
    """Return why a public key cannot be used; empty when it can."""
    from macfleet.facts.model_key import read_key  # noqa: PLC0415  (ciphers load only where a key is)

    try:
        read_key(pem)
    except ValueError as error:
        return str(error)
    return ""


def _files(statement: _Statement) -> dict[str, str]:
    """Return the signed files; the subject's digest is that over all their digests, in order."""
    resources = statement.predicate.resources
    together = hashlib.sha256(b"".join(bytes.fromhex(each.digest) for each in resources)).hexdigest()
    if together != statement.subject[0].digest.sha256:
        raise SignatureRefused("its files do not hash to the digest of the whole model")
    files = {each.name: each.digest for each in resources}
    if len(files) != len(resources):
        raise SignatureRefused("it names a file twice")
    return files


class _Part(BaseModel):
    """Part of a document of others, who may add keys."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True, defer_build=True)


class _Signature(_Part):
    sig: str


class _Envelope(_Part):
    payload: str
    payload_type: Annotated[Literal["application/vnd.in-toto+json"], Field(alias="payloadType")]
    signatures: Annotated[list[_Signature], Field(min_length=1, max_length=16)]


class _Material(_Part):
    public_key: Annotated[dict[str, object] | None, Field(alias="publicKey")] = None


class _Bundle(_Part):
    material: Annotated[_Material, Field(alias="verificationMaterial")]
    envelope: Annotated[_Envelope, Field(alias="dsseEnvelope")]


class _Digest(_Part):
    sha256: _Hex


class _Subject(_Part):
    digest: _Digest


class _Resource(_Part):
    name: str
    algorithm: Literal["sha256"]
    digest: _Hex


class _Predicate(_Part):
    resources: Annotated[list[_Resource], Field(min_length=1)]


class _Statement(_Part):
    predicate_type: Annotated[Literal["https://model_signing/signature/v1.0"], Field(alias="predicateType")]
    subject: Annotated[list[_Subject], Field(min_length=1, max_length=1)]
    predicate: _Predicate


_Document = TypeVar("_Document", bound=BaseModel)


def _read(model: type[_Document], text: bytes, what: str) -> _Document:
    try:
        return model.model_validate(json.loads(text))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise SignatureRefused(f"{what} is not of its form: {shown(place)}: {first['msg']}") from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise SignatureRefused(f"{what} is not JSON") from error


def decoded(text: str) -> bytes:
    """Return the bytes of base64 (raises SignatureRefused)."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SignatureRefused("the signature's base64 cannot be read") from error
