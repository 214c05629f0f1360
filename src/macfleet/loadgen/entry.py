"""Starts the load client from its archive, where this file is called ``run.py``.

It picks the libraries that fit the Python that runs it, and must be readable by Pythons that are too old
to run the rest, so that they can say so.
"""

import platform
import sys
import sysconfig
from pathlib import Path

OLDEST = (3, 11)

# Told apart from the client's own exit codes by whoever started the archive on a node.
DOES_NOT_FIT = 98


def library(here: Path) -> Path:
    """Return the folder of libraries for this Python; it need not exist."""
    tag = "cp{}{}".format(*sys.version_info[:2])
    return here / "lib" / f"{tag}-{sys.platform}-{platform.machine().lower()}"


def problem(here: Path) -> str:
    """Return why this Python cannot run the client, or nothing."""
    version = platform.python_version()
    if sys.version_info < OLDEST:
        return f"Python {version} is older than {OLDEST[0]}.{OLDEST[1]}"
    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return f"{sys.implementation.name} {version} is not the ordinary CPython the libraries are built for"
    if not library(here).is_dir():
        return f"no libraries for Python {version} on {sys.platform} {platform.machine()}"
    return ""


def start() -> int:
    """Run the client, or say why it cannot."""
    here = Path(__file__).resolve().parent
    why = problem(here)
    if not why:
        sys.path[:0] = [str(here), str(library(here))]
        try:
            from macfleet.loadgen.__main__ import main  # noqa: PLC0415  (found through the line above)
        except ImportError as error:
            why = f"the libraries do not load: {error}"
        else:
            return main(program=(sys.executable, "-I", str(here / "run.py")))
    sys.stderr.write(f"{sys.executable}: {why}\n")
    return DOES_NOT_FIT


if __name__ == "__main__":
    sys.exit(start())
