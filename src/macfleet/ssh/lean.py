"""paramiko without what it imports for a reader of ssh_config that is not used here, and for its version."""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
import threading
import types
from pathlib import Path

_ONE_AT_A_TIME = threading.Lock()
_REPLACING = threading.RLock()
_METADATA = "importlib.metadata"


def import_paramiko() -> None:
    """Import paramiko without invoke, and without what reads the metadata of packages.

    paramiko 5.1 takes invoke for ``Match exec`` of its own ssh_config where it is installed; with the
    asyncio and unittest that invoke brings, it is a third of the import, and macfleet reads ssh_config
    itself. Fabric imports invoke as ever when it is needed, by whoever waited here before. It asks for its
    own version besides, see `PackageVersions`. Threads may call this at once.
    """
    with _ONE_AT_A_TIME:
        if "paramiko" in sys.modules or "invoke" in sys.modules:
            return
        _stand_in()
        # None is how an import is told that a module is not there.
        sys.modules["invoke"] = None  # type: ignore[assignment]
        try:
            importlib.import_module("paramiko")
        finally:
            del sys.modules["invoke"]


class PackageVersions(types.ModuleType):
    """Stands for `importlib.metadata` until anything but paramiko's version is asked of it.

    The real module brings those of e-mail and archives, for one name in one header: a twentieth of what
    a plan computes after its first connection began. It takes this one's place at the first other question.
    """

    def version(self, package: str) -> str:
        """Return an installed package's version; paramiko's from the name of the folder beside it."""
        found = installed_beside(package) if package == "paramiko" else ()
        if len(found) == 1:
            return found[0]
        version: str = _real(self).version(package)
        return version

    def __getattr__(self, name: str) -> object:
        """Return what the real module has."""
        return getattr(_real(self), name)


def installed_beside(package: str) -> tuple[str, ...]:
    """Return the versions that folders such as ``NAME-1.2.dist-info`` beside a package give it."""
    spec = importlib.machinery.PathFinder.find_spec(package)
    if spec is None or spec.origin is None:
        return ()
    beside = Path(spec.origin).parents[1].glob(f"{package}-*.dist-info")
    return tuple(folder.name.removesuffix(".dist-info").removeprefix(f"{package}-") for folder in beside)


def _stand_in() -> None:
    if _METADATA not in sys.modules:
        sys.modules[_METADATA] = importlib.metadata = PackageVersions(_METADATA)


def _real(standing_in: types.ModuleType) -> types.ModuleType:
    with _REPLACING:
        if sys.modules.get(_METADATA) is standing_in:
            del sys.modules[_METADATA]
        return importlib.import_module(_METADATA)
