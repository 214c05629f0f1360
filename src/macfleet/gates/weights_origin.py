"""The weights are the pinned commit, whole, and signed by somebody the fleet trusts."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from macfleet.facts.model_cache import (
    Holdings,
    Snapshot,
    cache_faults,
    cached_file,
    holdings_script,
    model_folder,
    parse_holdings,
    read_holdings,
)
from macfleet.facts.model_signature import SIGNATURE, SignatureRefused, Signed, verify_signature
from macfleet.gates.gate import GateContext, WeightsFile, held, missing, passed, record
from macfleet.model.json import Json
from macfleet.model.resource import Probe
from macfleet.model.stage import Evidence, EvidenceRequest, ProbeRequest, Verdict

_NAME = "weights.origin"
_SECONDS = 60.0
IGNORE, WHEN_PRESENT, REQUIRED = "ignore", "when_present", "required"


class WeightsOrigin:
    """Verifies Hugging Face caches and signatures of models offline; what they say is held to weights.lock.

    Args:
        signature: ``ignore``, ``when_present`` or ``required``; without a key a signature that is present is
            only noted.
        keys: trusted public keys as PEM by name.
        allow: patterns of paths that may lie in a snapshot without being locked.
    """

    kind = "weights_origin"
    before = False

    def __init__(self, signature: str, keys: Mapping[str, str], allow: Sequence[str]) -> None:
        self._signature = signature
        self._keys = dict(keys)
        self._allow = tuple(allow)

    def needs(self, context: GateContext) -> tuple[EvidenceRequest, ...]:
        """How the locked files lie on the node, and the signatures beside them."""
        script = holdings_script([file.path for file in context.weights])
        return (ProbeRequest(_NAME, Probe(script, parse_holdings, _SECONDS)),)

    def judge(self, context: GateContext, evidence: Evidence) -> Verdict:
        """Hold with everything that differs from the lock, and with signatures that prove nothing."""
        if not context.weights:
            nothing = ("weights.lock names no file",)
            return held(self.kind, context, nothing, "Write weights.lock: path, size, sha256.")
        found = read_holdings(_lines(record(evidence.get(_NAME)).get("lines")))
        if {model_folder(file.path) for file in context.weights} - set(found.signatures):
            return missing(self.kind, context, _NAME)
        signed: dict[str, Signed] = {}
        unread = self._signature == WHEN_PRESENT and not self._keys
        reasons = (
            *_revision_faults(context.weights),
            *self._cache_faults(context.weights, found),
            *(() if unread else self._signature_faults(context.weights, found, signed)),
        )
        if reasons:
            mend = (
                "Fetch the pinned commit again, or pin on purpose: revision, size and sha256 in weights.lock."
            )
            return held(self.kind, context, reasons, mend, (_NAME,))
        present = sorted(folder for folder, text in found.signatures.items() if text and unread)
        shown = [f"{folder}/{SIGNATURE} is not checked: no key is given to check it" for folder in present]
        shown += [f"{folder}: signed by {each.key}" for folder, each in sorted(signed.items())]
        origins = sorted({file.provenance for file in context.weights if file.provenance})
        shown += [f"from {origin}" for origin in origins]
        return passed(
            self.kind, context, f"{len(context.weights)} files as pinned", *shown, evidence=(_NAME,)
        )

    def _cache_faults(self, weights: Sequence[WeightsFile], found: Holdings) -> Iterator[str]:
        groups: dict[tuple[str, str], dict[str, tuple[int, str]]] = {}
        for file in weights:
            if cached := cached_file(file.path):
                names = groups.setdefault((cached.root, cached.revision), {})
                names[cached.name] = (file.size, file.sha256)
        for key, locked in sorted(groups.items()):
            snapshot = found.snapshots.get(key, Snapshot(present=False))
            folder = f"{key[0]}/snapshots/{key[1]}"
            where = cached_file(f"{folder}/{next(iter(locked))}")
            entries = {*snapshot.links, *snapshot.files}
            ignored = {name for name in entries if self._is_allowed(f"{folder}/{name}")} | {SIGNATURE}
            if where is not None:
                yield from cache_faults(where, snapshot, locked, ignored)

    def _is_allowed(self, path: str) -> bool:
        return any(fnmatchcase(path, pattern) for pattern in self._allow)

    def _signature_faults(
        self, weights: Sequence[WeightsFile], found: Holdings, signed: dict[str, Signed]
    ) -> Iterator[str]:
        """Yield what is wrong; what is signed is added to `signed` by the model's folder."""
        if self._signature == IGNORE:
            return
        for folder, files in sorted(_by_signature(weights, found).items()):
            text = found.signatures[folder]
            if not text:
                if self._signature == REQUIRED:
                    yield f"{folder} has no {SIGNATURE}: the model is not signed"
                continue
            try:
                signed[folder] = verify_signature(base64.b64decode(text, validate=True), self._keys)
            except (SignatureRefused, binascii.Error) as error:
                yield f"{folder}/{SIGNATURE}: {error}"
                continue
            yield from _unsigned(folder, files, signed[folder])


def _by_signature(weights: Sequence[WeightsFile], found: Holdings) -> dict[str, list[WeightsFile]]:
    """Return the files by the nearest folder whose signature covers them, else by their own."""
    groups: dict[str, list[WeightsFile]] = {}
    signed = [folder for folder, text in found.signatures.items() if text]
    for file in weights:
        above = [folder for folder in signed if file.path.startswith(f"{folder}/")]
        groups.setdefault(max(above, key=len, default=model_folder(file.path)), []).append(file)
    return groups


def _unsigned(folder: str, files: Sequence[WeightsFile], signed: Signed) -> Iterator[str]:
    for file in files:
        digest = signed.files.get(file.path.removeprefix(f"{folder}/"))
        if digest is None and file.path != f"{folder}/{SIGNATURE}":
            yield f"{file.path} is not among what {signed.key} signed"
        elif digest is not None and digest != file.sha256:
            yield f"{file.path} is signed as {digest[:12]}, weights.lock says {file.sha256[:12]}"


def _revision_faults(weights: Sequence[WeightsFile]) -> Iterator[str]:
    for file in weights:
        cached = cached_file(file.path)
        if cached and file.revision and cached.revision != file.revision:
            yield f"{file.path} lies in commit {cached.revision[:12]}, its revision is {file.revision[:12]}"


def _lines(value: Json) -> tuple[str, ...]:
    return tuple(str(each) for each in value) if isinstance(value, list | tuple) else ()
