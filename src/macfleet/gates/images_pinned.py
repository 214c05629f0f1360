"""Every image is what its digest says and is made for the node's platform."""

from __future__ import annotations

from macfleet.gates.gate import GateContext, held, passed, record
from macfleet.model.stage import Evidence, EvidenceRequest, ImageRequest, Verdict


class ImagesPinned:
    """Asks the registry for every locked image by digest and compares platform and config."""

    kind = "images_pinned"
    before = True

    def needs(self, context: GateContext) -> tuple[EvidenceRequest, ...]:
        """What the registry says of each pinned reference."""
        platform = context.node.platform
        return tuple(
            ImageRequest(f"image.{name}", image.pinned, platform)
            for name, image in sorted(context.images.items())
        )

    def judge(self, context: GateContext, evidence: Evidence) -> Verdict:
        """Hold on a foreign platform, a missing manifest or a lock that no longer holds."""
        names = tuple(f"image.{name}" for name in sorted(context.images))
        if not names:
            nothing = f"images.lock has no image for {context.node.platform}"
            return held(self.kind, context, (nothing,), "Type: macfleet image pin")
        reasons = tuple(
            reason for name in sorted(context.images) for reason in self._faults(context, name, evidence)
        )
        if reasons:
            mend = "Choose an image that offers the platform in images.yml, then: macfleet image pin"
            return held(self.kind, context, reasons, mend, names)
        shown = (f"{len(names)} images for {context.node.platform}, by digest",)
        return passed(self.kind, context, *shown, evidence=names)

    @staticmethod
    def _faults(context: GateContext, name: str, evidence: Evidence) -> tuple[str, ...]:
        locked = context.images[name]
        found = record(evidence.get(f"image.{name}"))
        if not found:
            return (f"{name}: {locked.reference} was not resolved",)
        if "problem" in found:
            return (f"{name}: {found['problem']}",)
        if found.get("platform") != context.node.platform:
            return (f"{name}: {locked.reference} is {found.get('platform')}, not {context.node.platform}",)
        if found.get("config") != locked.config:
            return (f"{name}: {locked.pinned} has another config than images.lock says",)
        return ()
