"""What a fleet asks of its images, composed from images.yml, scan.yml and the scans that were kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from macfleet.model.diagnostic import MacfleetError

if TYPE_CHECKING:
    from macfleet.cli.fleet import FleetContext
    from macfleet.facts.scan_purl import ImageNames
    from macfleet.gates.image_rules import ImageRules
    from macfleet.gates.scan_judgement import ScanJudgement, ScanPolicy
    from macfleet.model.diagnostic import Diagnostic
    from macfleet.model.image import LockedImage, ResolvedImage
    from macfleet.sources.layer_reports import LayerReports
    from macfleet.sources.scanner import ScanCache

_SCANS = Path(".macfleet") / "scans"
_LAYERS = Path(".macfleet") / "layers"


def image_rules(fleet: FleetContext, locks: Iterable[Mapping[str, LockedImage]]) -> ImageRules:
    """Return what is asked of the images of these locks, and what their scans say.

    Raises:
        MacfleetError: E0620, E0621 images.yml; E0730, E0731 scan.yml and the VEX documents it names.
    """
    from macfleet.contract.images import IMAGES_FILE, load_images
    from macfleet.contract.images_policy import ImagePolicy
    from macfleet.gates.image_rules import ImageRules
    from macfleet.gates.trust import TRUSTED, Trust

    images = _each_once(locks)
    problems: list[Diagnostic] = []
    policy, declared = ImagePolicy(), dict[str, Trust]()
    scans: Mapping[tuple[str, str], ScanJudgement] | None = None
    if fleet.files.exists(IMAGES_FILE):
        try:
            wanted = load_images(fleet.files)
        except MacfleetError as error:
            problems += error.diagnostics
        else:
            policy = wanted.policy
            named = (each for each in wanted.images if each.trust != TRUSTED)
            declared = {each.name: Trust(each.trust, each.trust_at) for each in named}
    try:
        scans = _judged_scans(fleet, images)
    except MacfleetError as error:
        problems += error.diagnostics
    if problems:
        raise MacfleetError(problems)
    return ImageRules(policy, declared, scans, _contents(fleet, images, policy.allow))


def _each_once(locks: Iterable[Mapping[str, LockedImage]]) -> dict[tuple[str, str], ResolvedImage]:
    """Return the images of all locks by name and manifest; many nodes have the same."""
    named = ((name, image) for lock in locks for name, image in lock.items())
    return {(name, each.manifest): each for name, image in named for each in image.platforms.values()}


def _judged_scans(
    fleet: FleetContext, images: Mapping[tuple[str, str], ResolvedImage]
) -> Mapping[tuple[str, str], ScanJudgement] | None:
    """Return what scan.yml makes of the last scan of each name and manifest; None without a scan.yml."""
    if not fleet.files.exists("scan.yml"):  # then no format of a scanner is imported either
        return None
    from macfleet.gates.scan_policy import load_scan_policy

    policy = load_scan_policy(fleet.files)
    if policy is None:
        return None
    cache = scan_cache(fleet)
    return {key: judged(fleet, key[0], image, policy, cache) for key, image in images.items()}


def judged(
    fleet: FleetContext, name: str, image: ResolvedImage, policy: ScanPolicy, cache: ScanCache
) -> ScanJudgement:
    """Return what the policy makes of an image's last scan, now; one of another program is none."""
    from macfleet.gates.scan_judgement import judge_scan

    scan = cache.last(image.manifest)
    scanner = fleet.settings.scanner
    if scan is not None and scanner is not None and scan.program not in scanner.sha256:
        scan = None
    return judge_scan(name, names_of(image), scan, policy, fleet.clock.now())


def allowed_programs(fleet: FleetContext) -> tuple[str, ...]:
    """Return the patterns of paths that `policy:` in images.yml lets be programs of another architecture."""
    from macfleet.contract.images import IMAGES_FILE, load_images

    return load_images(fleet.files).policy.allow if fleet.files.exists(IMAGES_FILE) else ()


def layer_reports(fleet: FleetContext) -> LayerReports:
    """Return where the fleet keeps what was found in layers."""
    from macfleet.sources.layer_reports import LayerReports

    return LayerReports(fleet.root / _LAYERS)


def _contents(
    fleet: FleetContext, images: Mapping[tuple[str, str], ResolvedImage], allow: tuple[str, ...]
) -> Mapping[str, tuple[str, ...]]:
    """Return what has no place in the layers of each manifest that was looked into."""
    if not (fleet.root / _LAYERS).is_dir():
        return {}
    from macfleet.facts.image_contents import contents_faults

    kept = layer_reports(fleet)
    found: dict[str, tuple[str, ...]] = {}
    for image in images.values():
        if image.manifest not in found and (layers := kept.of_image(image)) is not None:
            found[image.manifest] = tuple(contents_faults(image.platform, layers, allow))
    return found


def scan_cache(fleet: FleetContext) -> ScanCache:
    """Return where the fleet keeps its scans."""
    from macfleet.sources.scanner import ScanCache

    return ScanCache(fleet.root / _SCANS)


def names_of(image: ResolvedImage) -> ImageNames:
    """Return what statements about vulnerabilities may call an image."""
    from macfleet.facts.scan_purl import ImageNames

    return ImageNames(image.repository, frozenset((image.index, image.manifest, image.config)))
