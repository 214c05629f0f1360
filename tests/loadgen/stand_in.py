"""Wheels that stand in for the locked ones where no package index is asked."""

import sys
import zipfile
from importlib.metadata import files as installed_files
from pathlib import Path

from macfleet.loadgen import entry
from macfleet.sources.archive import locked_wheels

HERE = f"cp{sys.version_info[0]}{sys.version_info[1]}"


def stand_in_wheels(folder: Path) -> Path:
    """Wheels under the locked names: the installed library for this Python, an empty one for the others."""
    folder.mkdir(parents=True, exist_ok=True)
    for wheel in locked_wheels():
        with zipfile.ZipFile(folder / wheel.name, "w") as packed:
            packed.writestr("httptools-0.dist-info/licenses/LICENSE", "MIT")
            packed.writestr("httptools/parser/parser.pyx", "source")
            if wheel.python == HERE and wheel.system == entry.library(Path()).name.removeprefix(f"{HERE}-"):
                for path in installed_files("httptools"):
                    if path.suffix in {".py", ".so"}:
                        packed.write(path.locate(), str(path))
    return folder
