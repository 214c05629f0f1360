"""Releases: the images an environment's nodes run, those they ran before, and who went back to them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from macfleet.contract.images import (
    IMAGES_LOCK,
    LOCK_HEAD,
    lock_rows,
    locked_images,
    render_lock,
)
from macfleet.contract.images_border import BroughtModel, LockModel
from macfleet.documents import parse_yaml, validate
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.image import LockedImage
from macfleet.model.ports import Files

EVERYBODY = "*"
"""Stands in `ReleaseLock.returned` for every node that is not named there."""
KEPT = 5
"""Earlier releases a lock keeps."""
_OWN_HEAD = (
    "# Written by `macfleet promote` and `macfleet rollback`: what the nodes of {} run. Do not edit.\n"
)


@dataclass(frozen=True, slots=True)
class Brought:
    """Who brought a release to an environment, from which environment; `at` is RFC 3339 in UTC."""

    source: str
    who: str
    at: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Release:
    """Images by name that go together; `brought` is None where `image pin` resolved them."""

    images: Mapping[str, LockedImage]
    brought: Brought | None = None

    @property
    def id(self) -> str:
        """A hash over the platform manifests of all images: the same bytes, the same id, never a number."""
        pinned = {
            name: {platform: each.manifest for platform, each in image.platforms.items()}
            for name, image in self.images.items()
        }
        digest = hashlib.sha256(json.dumps(pinned, sort_keys=True).encode()).hexdigest()
        return f"r-{digest[:10]}"


@dataclass(frozen=True, slots=True)
class ReleaseLock:
    """One lock of images.

    Attributes:
        newest: what was pinned or promoted last.
        earlier: what it took the place of, the newest first; each follows what was in use before it.
        returned: id of the release a node went back to, by its name or `EVERYBODY`.
    """

    newest: Release
    earlier: tuple[Release, ...] = ()
    returned: Mapping[str, str] = field(default_factory=dict)

    def of(self, node: str) -> Release:
        """Return the release a node is to run."""
        wanted = self.returned.get(node, self.returned.get(EVERYBODY, self.newest.id))
        return next(each for each in (self.newest, *self.earlier) if each.id == wanted)

    @property
    def in_use(self) -> Release:
        """The release of every node that did not go back by itself."""
        return self.of(EVERYBODY)

    def before(self, release: Release) -> Release | None:
        """Return the release that was in use before another; None when the lock knows none."""
        chain = (self.newest, *self.earlier)
        place = next((at for at, each in enumerate(chain) if each.id == release.id), len(chain))
        return chain[place + 1] if place + 1 < len(chain) else None


def lock_file(environment: str) -> str:
    """Return the file that holds an environment's own lock; `images.lock` for none."""
    return f"images.{environment}.lock" if environment else IMAGES_LOCK


def load_releases(files: Files, path: str = IMAGES_LOCK) -> ReleaseLock | None:
    """Read a lock; None where there is no such file.

    Raises:
        MacfleetError: E0623 it is damaged, E0688 a node went back to a release that it does not hold.
    """
    try:
        text = files.read(path)
    except FileNotFoundError:
        return None
    return parse_releases(text, path)


def parse_releases(text: bytes, file: str = IMAGES_LOCK) -> ReleaseLock:
    """Read the text of a lock; raises as `load_releases`."""
    document = parse_yaml(text, file)
    model = validate(document, LockModel, code="E0623", kind=file)
    lock = ReleaseLock(
        Release(locked_images(model.images), _brought(model.brought)),
        tuple(Release(locked_images(each.images), _brought(each.brought)) for each in model.earlier),
        dict(sorted(model.returned.items())),
    )
    known = {each.id for each in (lock.newest, *lock.earlier)}
    lost = [name for name, wanted in lock.returned.items() if wanted not in known]
    if lost:
        raise MacfleetError(
            document.diagnose(
                "E0688",
                f"{name} went back to release {lock.returned[name]}, which this lock does not hold",
                "returned",
                name,
                mend="Take the file back from git; macfleet history shows who changed what.",
            )
            for name in lost
        )
    return lock


def render_releases(lock: ReleaseLock, environment: str = "") -> str:
    """Return the text of a lock; equal locks give equal bytes."""
    document = _release_row(lock.newest)
    if lock.earlier:
        document["earlier"] = [_release_row(each) for each in lock.earlier]
    if lock.returned:
        document["returned"] = dict(sorted(lock.returned.items()))
    return render_lock(_OWN_HEAD.format(environment) if environment else LOCK_HEAD, document)


def pinned(lock: ReleaseLock | None, images: Collection[LockedImage]) -> ReleaseLock:
    """Return the lock after its images were pinned again; who went back stays back while no byte changed."""
    newest = Release({image.name: image for image in images})
    if lock is None:
        return ReleaseLock(newest)
    return replace(lock, newest=newest) if newest.id == lock.newest.id else succeeded(lock, newest)


def succeeded(lock: ReleaseLock | None, newest: Release) -> ReleaseLock:
    """Return the lock after a release took the place of the one in use; what that had replaced is given up.

    Everybody goes along, those that went back as well.
    """
    if lock is None:
        return ReleaseLock(newest)
    chain = (lock.newest, *lock.earlier)
    place = next(at for at, each in enumerate(chain) if each.id == lock.in_use.id)
    return ReleaseLock(newest, tuple(each for each in chain[place:] if each.id != newest.id)[:KEPT])


def went_back(lock: ReleaseLock, to: Mapping[str, Release], everybody: Collection[str]) -> ReleaseLock:
    """Return the lock after nodes went back to a release each.

    Args:
        lock: what they ran by.
        to: release by node name.
        everybody: all nodes of this lock; where they all go to one release, later nodes begin with it.
    """
    wanted = {name: lock.of(name).id for name in everybody} | {name: each.id for name, each in to.items()}
    shared = set(wanted.values())
    base = shared.pop() if len(shared) == 1 else lock.in_use.id
    returned = {name: each for name, each in wanted.items() if each != base}
    if base != lock.newest.id:
        returned[EVERYBODY] = base
    return replace(lock, returned=dict(sorted(returned.items())))


def _brought(model: BroughtModel | None) -> Brought | None:
    return None if model is None else Brought(model.source, model.who, model.at, model.why)


def _release_row(release: Release) -> dict[str, object]:
    brought = release.brought
    told = {}
    if brought is not None:
        told = {"source": brought.source, "who": brought.who, "at": brought.at, "why": brought.why}
    return {**({"brought": told} if told else {}), "images": lock_rows(release.images.values())}
