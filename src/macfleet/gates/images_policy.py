"""What an image must record of itself: its base, its age, its engine's build, and no weights inside."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from macfleet.contract.images_policy import REQUIRED, ImagePolicy, comparable
from macfleet.gates.gate import GateContext, held, missing, passed, record
from macfleet.model.image import ResolvedImage
from macfleet.model.quantity import show_bytes
from macfleet.model.reference import DIGEST
from macfleet.model.resource import Probe, ProbeOutput, State
from macfleet.model.stage import Evidence, EvidenceRequest, ProbeRequest, Verdict

_NAME = "images.today"
_LABEL = "org.opencontainers.image."
_BASELESS = (
    f"it records no base image (labels {_LABEL}base.name and {_LABEL}base.digest, or base: in images.yml)"
)
_UNSEEN = "nobody looked into its layers: macfleet image inspect"
_LAYER = re.compile(r"^application/vnd\.(oci\.image\.layer|docker\.image\.rootfs)\.\S*tar\S*$")
# Builds that want to be reproducible write the epoch, which is no date.
_DATED = dt.datetime(2000, 1, 1, tzinfo=dt.UTC).timestamp()


class ImagesPolicy:
    """Refuses images that hide their base, their age or their engine's build, or carry weights in a layer.

    What is asked stands under `policy:` in images.yml; a parameter here counts before it. Where nothing is
    asked, only layers that hold weights are refused, and what `macfleet image inspect` found in them.
    """

    kind = "images_policy"
    before = True

    def __init__(self, given: Mapping[str, object]) -> None:
        self._given = dict(given)  # fields of `ImagePolicy` that the playbook sets

    def needs(self, context: GateContext) -> tuple[EvidenceRequest, ...]:
        """The node's date, when age is limited; the rest stands in images.lock."""
        limited = self._policy(context).max_age
        return (ProbeRequest(_NAME, Probe("date -u +%s", _parse)),) if limited else ()

    def judge(self, context: GateContext, evidence: Evidence) -> Verdict:
        """Hold with every image that breaks the policy, and with names that only the policy knows."""
        policy = self._policy(context)
        names = (_NAME,) if policy.max_age else ()
        today = record(evidence.get(_NAME)).get("seconds")
        if names and not isinstance(today, int):
            return missing(self.kind, context, _NAME)
        now = today if isinstance(today, int) else 0
        unknown = sorted({*policy.minimum, *policy.bases} - set(context.images))
        reasons = [f"{name}: the policy names it, images.lock does not" for name in unknown]
        baseless = [
            f"{name}: {_BASELESS}"
            for name, image in sorted(context.images.items())
            if not (name in policy.bases or context.bases.get(name) or _records_base(image))
        ]
        reasons += baseless if policy.base == REQUIRED else []
        unseen = [f"{name}: {_UNSEEN}" for name in sorted(set(context.images) - set(context.contents))]
        reasons += unseen if policy.contents == REQUIRED else []
        for name, image in sorted(context.images.items()):
            reasons += [f"{name}: {fault}" for fault in _faults(name, image, policy, now)]
            reasons += [f"{name}: {fault}" for fault in context.contents.get(name, ())]
        if not context.images:
            reasons.append(f"images.lock has no image for {context.node.platform}")
        if reasons:
            mend = "Build the image with the labels it lacks, or a newer one, then: macfleet image pin"
            return held(self.kind, context, tuple(reasons), mend, names)
        kept = f"{len(context.images)} images keep the policy"
        return passed(self.kind, context, kept, *baseless, *unseen, evidence=names)

    def _policy(self, context: GateContext) -> ImagePolicy:
        return replace(context.policy, **self._given)  # type: ignore[arg-type]  # checked by the parameters


def _faults(name: str, image: ResolvedImage, policy: ImagePolicy, now: int) -> Iterator[str]:
    for layer in image.layers:
        if layer.media_type and not _LAYER.match(layer.media_type):
            yield f"layer {layer.digest[:19]} is {layer.media_type}, no layer of files"
        elif layer.size > policy.largest_layer:
            most = show_bytes(policy.largest_layer)
            size = show_bytes(layer.size)
            yield f"layer {layer.digest[:19]} has {size}, more than {most}: weights in it?"
    if policy.max_age:
        yield from _age_faults(image.created, now, policy.max_age)
    if name in policy.minimum:
        yield from _version_faults(image.labels.get(f"{_LABEL}version", ""), policy.minimum[name])


def _parse(output: ProbeOutput) -> State:
    return {"seconds": int(output.stdout)}


def _records_base(image: ResolvedImage) -> bool:
    digest = image.labels.get(f"{_LABEL}base.digest", "")
    return bool(image.labels.get(f"{_LABEL}base.name")) and DIGEST.fullmatch(digest) is not None


def _age_faults(created: str, now: int, most: float) -> Iterator[str]:
    try:
        moment = dt.datetime.fromisoformat(created)
        built = moment.replace(tzinfo=moment.tzinfo or dt.UTC).timestamp()
    except (ValueError, OverflowError):
        built = 0.0
    if built < _DATED:
        yield "it does not record when it was built"
    elif now - built > most:
        yield f"it was built {(now - built) / 86400:.0f} days ago, more than {most / 86400:.0f}"


def _version_faults(version: str, minimum: str) -> Iterator[str]:
    wanted, found = comparable(minimum), comparable(version)
    if not version:
        yield f"it does not say its version (label {_LABEL}version); {minimum} is the oldest allowed"
    elif wanted is None or found is None or wanted[0] != found[0]:
        yield f"its version {version!r} cannot be compared with {minimum}"
    elif _padded(found[1]) < _padded(wanted[1]):
        yield f"its version {version} is older than {minimum}"


def _padded(numbers: tuple[int, ...]) -> tuple[int, ...]:
    return (*numbers, *(0,) * (5 - len(numbers)))
