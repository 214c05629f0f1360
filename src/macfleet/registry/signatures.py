"""Finds what signers attached to an image in its registry; what it is worth is judged elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, TypeVar

from pydantic import BaseModel, Field, ValidationError

from macfleet.facts.model_signature import SIGNATURE_LIMIT
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.image import ResolvedImage
from macfleet.model.reference import DIGEST, Reference
from macfleet.registry import failures
from macfleet.registry.manifest import OCI_INDEX, OCI_MANIFEST, digest_of
from macfleet.registry.resolver import RegistryResolver
from macfleet.registry.wire import Answer

_BUNDLE = "application/vnd.dev.sigstore.bundle"
_SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
_NOTE = "dev.cosignproject.cosign/signature"
_MOST = 32
_LIMIT = 4 * 2**20


@dataclass(frozen=True, slots=True)
class AttachedSignature:
    """A signature as it lies in the registry; nothing of it is believed yet.

    Attributes:
        content: a bundle, or the signed document.
        signature: base64 of the signature over the document; empty for a bundle.
    """

    content: bytes
    signature: str = ""


def attached_signatures(resolver: RegistryResolver, image: ResolvedImage) -> Iterator[AttachedSignature]:
    """Yield the signatures of an image: of its platform's manifest, then of its index; 32 a form at most.

    Looked up are the referrers of a digest, the tag that stands for them in older registries, and the tag of
    the older form.

    Raises:
        MacfleetError: E0604 bytes that are not what their digest says, E0607 malformed, and what the registry
            says, except that nothing is there.
    """
    repository = Reference.parse(image.repository)
    for digest in dict.fromkeys((image.manifest, image.index)):
        yield from _bundles(resolver, repository, digest)
        yield from _simple(resolver, repository, digest)


def _bundles(resolver: RegistryResolver, repository: Reference, digest: str) -> Iterator[AttachedSignature]:
    tag = digest.replace(":", "-")
    answer = _found(resolver, repository, f"referrers/{digest}", OCI_INDEX)
    answer = answer or _found(resolver, repository, f"manifests/{tag}", OCI_INDEX)
    if answer is None:
        return
    index = _parsed(_Index, answer.data, f"referrers of {repository.repository}@{digest}")
    # What does not say what it is may be one.
    meant = [
        each for each in index.manifests if not each.artifact_type or each.artifact_type.startswith(_BUNDLE)
    ]
    for each in meant[:_MOST]:
        manifest = _manifest(resolver, repository, each.digest)
        for layer in manifest.layers:
            if layer.media_type.startswith(_BUNDLE):
                yield AttachedSignature(_blob(resolver, repository, layer))


def _simple(resolver: RegistryResolver, repository: Reference, digest: str) -> Iterator[AttachedSignature]:
    name = f"{digest.replace(':', '-')}.sig"
    answer = _found(resolver, repository, f"manifests/{name}", OCI_MANIFEST)
    if answer is None:
        return
    manifest = _parsed(_Manifest, answer.data, f"{repository.repository}:{name}")
    for layer in manifest.layers[:_MOST]:
        if layer.media_type == _SIMPLE and (signature := layer.annotations.get(_NOTE)):
            yield AttachedSignature(_blob(resolver, repository, layer), signature)


class _Foreign(BaseModel):
    """Documents others wrote: keys we do not know are theirs to have."""


class _Descriptor(_Foreign):
    media_type: Annotated[str, Field(alias="mediaType")] = ""
    artifact_type: Annotated[str, Field(alias="artifactType")] = ""
    digest: Annotated[str, Field(pattern=f"^{DIGEST.pattern}$")]
    size: Annotated[int, Field(strict=True, ge=0)]
    annotations: Mapping[str, str] = Field(default_factory=dict)


class _Index(_Foreign):
    manifests: list[_Descriptor]


class _Manifest(_Foreign):
    layers: list[_Descriptor]


Document = TypeVar("Document", bound=_Foreign)


def _found(resolver: RegistryResolver, repository: Reference, path: str, accept: str) -> Answer | None:
    """Return an answer; None where the registry says that there is none."""
    try:
        return resolver.wire.fetch(repository.registry, repository.path, path, accept=accept, limit=_LIMIT)
    except MacfleetError as error:
        if all(each.code == "E0602" for each in error.diagnostics):
            return None
        raise


def _manifest(resolver: RegistryResolver, repository: Reference, digest: str) -> _Manifest:
    what = f"{repository.repository}@{digest}"
    answer = resolver.wire.fetch(
        repository.registry, repository.path, f"manifests/{digest}", accept=OCI_MANIFEST, limit=_LIMIT
    )
    if digest_of(answer.data) != digest:
        raise failures.not_genuine(what, f"the manifest's bytes have digest {digest_of(answer.data)}")
    return _parsed(_Manifest, answer.data, what)


def _blob(resolver: RegistryResolver, repository: Reference, blob: _Descriptor) -> bytes:
    answer = resolver.wire.fetch(
        repository.registry, repository.path, f"blobs/{blob.digest}", accept="*/*", limit=SIGNATURE_LIMIT
    )
    if digest_of(answer.data) != blob.digest:
        raise failures.not_genuine(blob.digest, f"its bytes have digest {digest_of(answer.data)}")
    return answer.data


def _parsed(model: type[Document], data: bytes, what: str) -> Document:
    try:
        return model.model_validate(json.loads(data))
    except (ValueError, ValidationError, RecursionError) as error:
        raise failures.malformed(what, f"it is no list of signatures: {error}".partition("\n")[0]) from error
