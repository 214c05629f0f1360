"""paramiko without what it imports for a reader of ssh_config that is not used here."""

from __future__ import annotations

import importlib
import sys
import threading

_ONE_AT_A_TIME = threading.Lock()


def import_paramiko() -> None:
    """Import paramiko without invoke.

    paramiko 5.1 takes invoke for ``Match exec`` of its own ssh_config where it is installed; with the
    asyncio and unittest that invoke brings, it is a third of the import, and macfleet reads ssh_config
    itself. Fabric imports invoke as ever when it is needed, by whoever waited here before. Threads may call
    this at once.
    """
    with _ONE_AT_A_TIME:
        if "paramiko" in sys.modules or "invoke" in sys.modules:
            return
        # None is how an import is told that a module is not there.
        sys.modules["invoke"] = None  # type: ignore[assignment]
        try:
            importlib.import_module("paramiko")
        finally:
            del sys.modules["invoke"]
