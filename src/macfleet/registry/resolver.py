"""What a reference means for one platform, every byte on the way proven by its digest."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from macfleet.model.diagnostic import Diagnostic
from macfleet.model.image import Blob, ResolvedImage
from macfleet.model.ports import Clock
from macfleet.model.reference import Reference
from macfleet.registry import failures
from macfleet.registry.auth import Credential
from macfleet.registry.manifest import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    Config,
    Index,
    IndexEntry,
    Manifest,
    digest_of,
    normal_platform,
    parse_config,
    parse_manifest,
)
from macfleet.registry.mirrors import Mirrors
from macfleet.registry.wire import Wire

# The distribution specification asks registries to take manifests of 4 MiB; larger ones nobody needs.
_LIMIT = 4 * 1024 * 1024
_INDICES = 8
# Seconds and tries a mirror gets; the registry itself comes after it.
_HASTE, _TRIES = 15.0, 2
_ACCEPT = ", ".join(sorted(INDEX_TYPES | MANIFEST_TYPES))


class RegistryResolver:
    """Resolves image references at their registries (port `ImageResolver`); safe to share between threads.

    Args:
        plain_http: registries (host or host:port) that are spoken to without TLS.
        credentials: login by registry host.
        deadline: seconds one manifest may take, retries included.
        mirrors: places that are asked first for what a digest names, in order, by registry host.
        told: is told of mirrors that were passed over.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        plain_http: Collection[str] = (),
        credentials: Mapping[str, Credential] | None = None,
        deadline: float = 60.0,
        mirrors: Mapping[str, Sequence[str]] | None = None,
        told: Callable[[Diagnostic], None] = lambda _: None,
    ) -> None:
        self.wire = Wire(clock=clock, plain_http=plain_http, credentials=credentials, deadline=deadline)
        self._mirrors: Mirrors | None = None
        if mirrors and any(mirrors.values()):
            hasty = Wire(
                clock=clock, plain_http=plain_http, credentials=credentials, deadline=_HASTE, tries=_TRIES
            )
            self._mirrors = Mirrors(hasty, mirrors, told)

    def resolve(self, reference: str, platform: str) -> ResolvedImage:
        """Return what a reference means for `platform` (``os/architecture`` or with a variant).

        Index, manifest and config are verified by digest and size; layers are only named here.

        Raises:
            MacfleetError: E0601 not a reference, E0602 missing, E0603 a foreign platform, E0604 bytes that
                are not what their digest says, E0605 denied, E0606 unavailable, E0607 malformed.
        """
        try:
            parsed = Reference.parse(reference)
        except ValueError as error:
            raise failures.not_a_reference(reference, str(error)) from error
        if not (name := parsed.digest or parsed.tag):
            raise failures.not_a_reference(reference, "It names neither a tag nor a digest.")
        wanted = _platform(platform)
        data, document = self.document(parsed, name)
        top = digest_of(data)
        if isinstance(document, Index):
            return self._from_index(reference, parsed, top, document, wanted)
        config = self.config(parsed, document)
        if config.platform != wanted:
            raise failures.foreign_platform(reference, wanted, [config.platform])
        return _resolved(reference, parsed, top, top, document, config, (config.platform,))

    def document(
        self, reference: Reference, name: str, size: int | None = None
    ) -> tuple[bytes, Index | Manifest]:
        """Return the verified bytes and the content of the manifest or index `name`, a tag or a digest."""

        def ask(wire: Wire, place: Reference) -> tuple[bytes, Index | Manifest]:
            return _document(wire, place, name, size)

        found = self._mirrors.first(reference, ask) if self._mirrors and ":" in name else None
        return found or ask(self.wire, reference)

    def config(self, reference: Reference, manifest: Manifest) -> Config:
        """Return the verified config of a manifest."""
        what = f"config of {reference.repository}"
        try:
            config = parse_config(self.blob(reference, manifest.config))
        except ValueError as error:
            raise failures.malformed(what, str(error)) from error
        if len(config.diff_ids) != len(manifest.layers):
            counts = f"{len(config.diff_ids)} layers, the manifest {len(manifest.layers)}"
            raise failures.malformed(what, f"it names {counts}")
        return config

    def blob(self, reference: Reference, blob: Blob) -> bytes:
        """Return a small blob whole, verified."""
        if blob.size > _LIMIT:
            what = f"{reference.repository} {blob.digest}"
            raise failures.malformed(what, f"{blob.size} bytes are more than a config may have")

        def ask(wire: Wire, place: Reference) -> bytes:
            return _blob(wire, place, blob)

        found = self._mirrors.first(reference, ask) if self._mirrors else None
        return ask(self.wire, reference) if found is None else found

    def layer(self, reference: Reference, blob: Blob) -> Iterator[bytes]:
        """Return a layer's bytes, for whoever proves them; those of a mirror are proven already."""
        found = self._mirrors.layer(reference, blob) if self._mirrors else None
        if found is not None:
            return found
        return self.wire.stream(reference.registry, reference.path, f"blobs/{blob.digest}")

    def places(self, repository: str) -> tuple[str, ...]:
        """Return the registries that are asked for what a digest of a repository names, in order."""
        reference = Reference.parse(repository)
        mirrors = self._mirrors.places(reference) if self._mirrors else ()
        return tuple(place.registry for place in (*mirrors, reference))

    def close(self) -> None:
        """Close all connections."""
        self.wire.close()
        if self._mirrors:
            self._mirrors.close()

    def _from_index(
        self, text: str, reference: Reference, digest: str, index: Index, wanted: str
    ) -> ResolvedImage:
        entries = self._flat(reference, index)
        offered = tuple(sorted({entry.platform for entry in entries}))
        chosen = next((entry for entry in entries if entry.platform == wanted), None)
        if chosen is None:
            raise failures.foreign_platform(text, wanted, offered)
        _, manifest = self.document(reference, chosen.blob.digest, chosen.blob.size)
        if isinstance(manifest, Index):
            raise failures.malformed(text, f"its entry for {wanted} is an index again")
        config = self.config(reference, manifest)
        if config.platform != wanted:
            note = f"Its index says {wanted}, but the image's own config says {config.platform}."
            raise failures.foreign_platform(text, wanted, [config.platform], note)
        return _resolved(text, reference, digest, chosen.blob.digest, manifest, config, offered)

    def _flat(self, reference: Reference, index: Index) -> tuple[IndexEntry, ...]:
        """Return the images of an index and of indices inside it, within a bound on both."""
        found: list[IndexEntry] = []
        waiting = [index]
        for _ in range(_INDICES):
            if not waiting:
                return tuple(found)
            for entry in waiting.pop().entries:
                if entry.platform:
                    found.append(entry)
                elif entry.blob.media_type in INDEX_TYPES and len(waiting) <= _INDICES:
                    _, inner = self.document(reference, entry.blob.digest, entry.blob.size)
                    waiting += [inner] if isinstance(inner, Index) else []
        if waiting:
            raise failures.malformed(reference.repository, f"it nests more than {_INDICES} indices")
        return tuple(found)


def _document(
    wire: Wire, reference: Reference, name: str, size: int | None
) -> tuple[bytes, Index | Manifest]:
    """Return a manifest or an index of one place, its bytes proven where `name` is a digest."""
    what = f"{reference.repository} {name}"
    answer = wire.fetch(reference.registry, reference.path, f"manifests/{name}", accept=_ACCEPT, limit=_LIMIT)
    digest = digest_of(answer.data)
    if ":" in name and digest != name:
        raise failures.not_genuine(what, f"the manifest's bytes have digest {digest}")
    if answer.digest_header and answer.digest_header != digest:
        raise failures.not_genuine(
            what, f"the registry calls it {answer.digest_header}, its bytes have digest {digest}"
        )
    if size is not None and len(answer.data) != size:
        raise failures.not_genuine(what, f"it has {len(answer.data)} bytes, the index says {size}")
    try:
        return answer.data, parse_manifest(answer.data, answer.content_type)
    except ValueError as error:
        raise failures.malformed(what, str(error)) from error


def _blob(wire: Wire, reference: Reference, blob: Blob) -> bytes:
    """Return a small blob of one place, verified."""
    what = f"{reference.repository} {blob.digest}"
    path = f"blobs/{blob.digest}"
    answer = wire.fetch(reference.registry, reference.path, path, accept="*/*", limit=_LIMIT)
    if len(answer.data) != blob.size or digest_of(answer.data) != blob.digest:
        shown = f"{len(answer.data)} bytes with digest {digest_of(answer.data)}"
        raise failures.not_genuine(what, f"the registry sent {shown}, {blob.size} bytes were promised")
    return answer.data


def _platform(text: str) -> str:
    parts = text.split("/")
    if len(parts) not in (2, 3) or not all(parts):
        raise failures.not_a_platform(text)
    return normal_platform(*parts)


def _resolved(
    text: str,
    reference: Reference,
    index: str,
    manifest_digest: str,
    manifest: Manifest,
    config: Config,
    offered: tuple[str, ...],
) -> ResolvedImage:
    return ResolvedImage(
        reference=text,
        repository=reference.repository,
        index=index,
        manifest=manifest_digest,
        config=manifest.config.digest,
        platform=config.platform,
        layers=manifest.layers,
        diff_ids=config.diff_ids,
        labels=config.labels,
        offered=offered,
        created=config.created,
    )
