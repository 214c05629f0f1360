"""What a fleet asks of its images, and what their scans say: read once for a command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from macfleet.contract.images_policy import ImagePolicy
from macfleet.gates.trust import TRUSTED, Trust, trust_of
from macfleet.model.image import ResolvedImage

if TYPE_CHECKING:
    from macfleet.gates.scan_judgement import ScanJudgement


@dataclass(frozen=True, slots=True)
class ImageRules:
    """What images.yml and scan.yml ask.

    Attributes:
        declared: trust by image name, as images.yml says it.
        scans: what scan.yml makes of the scan of each name and manifest; None where there is no scan.yml.
        contents: what has no place in the layers of each manifest that was looked into.
    """

    policy: ImagePolicy = field(default_factory=ImagePolicy)
    declared: Mapping[str, Trust] = field(default_factory=dict)
    scans: Mapping[tuple[str, str], ScanJudgement] | None = None
    contents: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def contents_of(self, images: Mapping[str, ResolvedImage]) -> Mapping[str, tuple[str, ...]]:
        """Return the same by name, of those of these images that were looked into."""
        manifests = ((name, image.manifest) for name, image in images.items())
        return {name: self.contents[each] for name, each in manifests if each in self.contents}

    def scans_of(self, images: Mapping[str, ResolvedImage]) -> Mapping[str, ScanJudgement] | None:
        """Return what is known of these images by name; None where nothing asks for scans."""
        if self.scans is None:
            return None
        keys = ((name, (name, image.manifest)) for name, image in images.items())
        return {name: self.scans[key] for name, key in keys if key in self.scans}

    def trust_of(self, images: Mapping[str, ResolvedImage]) -> Mapping[str, Trust]:
        """Return those of these images that are not trusted."""
        scans = self.scans_of(images) or {}
        found = {
            name: trust_of(self.declared.get(name, Trust()), scans[name].flagged if name in scans else ())
            for name in images
        }
        return {name: trust for name, trust in found.items() if trust.level != TRUSTED}
