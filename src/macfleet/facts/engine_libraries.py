"""Which library a running engine multiplies matrices with, told by what its process has loaded."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from macfleet.model.shell import quote

_OF_INTEREST = "blas|mkl|blis|accelerate|ggml|mlx"
# In the order they are asked: ggml's own BLAS backend passes on to the library that it was built for.
_LIBRARIES = (
    (re.compile(r"openblas"), "OpenBLAS"),
    (re.compile(r"libmkl_"), "MKL"),
    (re.compile(r"libblis"), "BLIS"),
    (re.compile(r"accelerate", re.IGNORECASE), "Accelerate"),
)
_BACKEND = re.compile(r"libggml-blas")
_MLX = re.compile(r"libmlx")
_GGML = re.compile(r"libggml-cpu")


def bare_libraries_script(label: str) -> str:
    """Return POSIX sh that prints the libraries of the process launchd runs under a label, a path a line."""
    return f"""pid=$(launchctl print {quote(f"system/{label}")} 2>/dev/null | sed -n 's/^.*pid = //p')
[ -n "$pid" ] && lsof -p "$pid" -Fn 2>/dev/null | sed -n 's/^n//p' | grep -iE '{_OF_INTEREST}' | sort -u; :"""


def container_libraries_script(project: str, service: str) -> str:
    """Return POSIX sh that prints the libraries of all processes in a service's container, a path a line."""
    return f"""id=$(docker compose -p {quote(project)} ps -q {quote(service)} 2>/dev/null | head -n 1)
[ -n "$id" ] && docker exec "$id" sh -c 'cat /proc/[0-9]*/maps' 2>/dev/null \\
 | sed -n 's|^[^/]* /|/|p' | grep -iE '{_OF_INTEREST}' | sort -u; :"""


def parse_blas(text: str, *, mac: bool) -> str:
    """Return the BLAS backend that library paths show; empty where they show neither one nor its absence.

    Args:
        text: paths as a script printed them, which is untrusted.
        mac: whether the process runs on macOS itself: ggml's BLAS backend and MLX use Accelerate there.
    """
    names = [PurePosixPath(line.strip()).name for line in text.splitlines() if line.strip()]
    for pattern, name in _LIBRARIES:
        if any(pattern.search(each) for each in names):
            return name
    if any(_BACKEND.search(each) for each in names):
        return "Accelerate" if mac else "libggml-blas"
    if any(_MLX.search(each) for each in names):
        return "Accelerate" if mac else ""
    # ggml's processor backend without a BLAS one beside it multiplies by itself.
    return "none" if any(_GGML.search(each) for each in names) else ""
