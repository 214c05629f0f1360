"""A small reader that says how fast a file is read, on the node itself or inside a container of its VM."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from macfleet.model.shell import quote, words

BLOCK = 2**20
"""Bytes of a sequential read."""
PAGE = 16 * 2**10
"""Bytes of a random read: a page of Apple Silicon, what a fault on mapped weights brings at least."""
NO_PYTHON = 92

# Plain Python 3 of any version, as it runs on the node and in the load client's image. What the kernel
# keeps of the file is dropped before each pass where the system can be asked to; macOS is told not to keep
# it. The best of the passes counts: a neighbour only makes a pass slower.
_READER = """\
import json, os, random, sys, time
path, seconds = sys.argv[1], float(sys.argv[2])
handle = os.open(path, os.O_RDONLY)
size = os.fstat(handle).st_size
if sys.platform == "darwin":
    import fcntl
    fcntl.fcntl(handle, 48, 1)
def cold():
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
def advise(name):
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(handle, 0, 0, getattr(os, name))
def best(block, offsets):
    found, end = 0.0, time.perf_counter() + seconds
    while not found or time.perf_counter() < end:
        cold()
        begun, read = time.perf_counter(), 0
        for offset in offsets():
            read += len(os.pread(handle, block, offset))
            if time.perf_counter() - begun > seconds:
                break
        found = max(found, read / max(time.perf_counter() - begun, 1e-9))
    return found
def spots():
    pages = max(size // {page}, 1)
    return [draw.randrange(pages) * {page} for _ in range(256)]
draw = random.Random(5)
advise("POSIX_FADV_SEQUENTIAL")
sequential = best({block}, lambda: range(0, max(size, 1), {block}))
advise("POSIX_FADV_RANDOM")
print(json.dumps({{"size": size, "sequential": sequential, "random": best({page}, spots)}}))
"""


class Reading(BaseModel):
    """What reading a file gave: its size in bytes, and bytes a second of the best pass of either way."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)

    size: int = Field(gt=0)
    sequential: float = Field(gt=0)
    random: float = Field(gt=0)


def native_script(path: str, seconds: float, pythons: tuple[str, ...]) -> str:
    """Return POSIX sh that reads `path` on the node for about `seconds` each way.

    Without a Python among `pythons` it exits with `NO_PYTHON`.
    """
    return f"""for python in {words(pythons)}; do
  [ -x "$python" ] && break
  python=
done
[ -n "$python" ] || exit {NO_PYTHON}
printf %s {quote(_reader())} | "$python" -I - {quote(path)} {seconds:g}
"""


def bind_script(path: str, seconds: float, image: str) -> str:
    """Return POSIX sh that reads `path` through a bind mount in a container of `image`, which is there."""
    folder, _, name = path.rpartition("/")
    return (
        f"printf %s {quote(_reader())} | docker run --rm -i --pull never --network none --read-only"
        f" -v {quote(f'{folder}:/weights:ro')} --entrypoint python3 {quote(image)}"
        f" -I - {quote(f'/weights/{name}')} {seconds:g}\n"
    )


def parse_reading(text: str) -> Reading | None:
    """Return what the reader printed, which is untrusted; None when it is anything else."""
    try:
        return Reading.model_validate_json(text.strip())
    except ValidationError:
        return None


def best_of(readings: tuple[Reading, ...]) -> Mapping[str, float]:
    """Return the best rate of each way, bytes a second."""
    return {
        "sequential": max(each.sequential for each in readings),
        "random": max(each.random for each in readings),
    }


def _reader() -> str:
    return _READER.format(page=PAGE, block=BLOCK)
