"""The golden engine in llama-server's place: one file of Python that can be put where the program was.

Started as the bare arm it answers twice as fast as started with the GPU off, and as in the container, which
has no GPU: what is worth what is known to the millisecond, on a machine that has no GPU at all.
"""

import importlib.util
import io
import zipfile
from pathlib import Path

# What the arm bare-cpu puts last; a lab node's own arguments say the same further in front.
GPU_OFF = ["--device", "none", "-ngl", "0"]
FIRST_MS, GAP_MS, TOKENS = 20.0, 10.0, 16
MAIN = """\
import signal, sys
from macfleet.testing.golden_engine import GoldenEngine, scheduled, whole

MODELS = b'{{"object": "list", "data": [{{"id": "small-chat", "object": "model", "owned_by": "macfleet"}}]}}'
words = sys.argv[1:]
slow = {container} or words[-4:] == {gpu_off!r}
streamed = scheduled({tokens}, {first_ms} if slow else {first_ms} / 2, {gap_ms} if slow else {gap_ms} / 2)


async def answer(request, writer):
    if request.line.startswith("GET "):
        writer.write(whole(MODELS))
    elif b'"messages"' in request.body:
        await streamed(request, writer)
    else:
        writer.write(whole(b'{{"error": {{"code": 400, "message": "no messages"}}}}').replace(b"200 OK", b"400 Bad", 1))


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
given = {{name: words[place + 1] for place, name in enumerate(words) if name in ("--host", "--port")}}
with GoldenEngine(answer, given["--host"], int(given["--port"])):
    while True:
        signal.pause()
"""
MODULES = ("macfleet.testing.golden_engine", "macfleet.model.json")
PACKAGES = ("macfleet", "macfleet/testing", "macfleet/model")


def program(python, *, container):
    """Return the bytes of the program: a first line that names its interpreter, and an archive of modules."""
    whole = io.BytesIO()
    whole.write(f"#!{python}\n".encode())
    with zipfile.ZipFile(whole, "a") as archive:
        for package in PACKAGES:
            archive.writestr(f"{package}/__init__.py", "")
        for name in MODULES:
            source = Path(importlib.util.find_spec(name).origin).read_text(encoding="utf-8")
            archive.writestr(f"{name.replace('.', '/')}.py", source)
        schedule = {"first_ms": FIRST_MS, "gap_ms": GAP_MS, "tokens": TOKENS}
        archive.writestr("__main__.py", MAIN.format(container=container, gpu_off=GPU_OFF, **schedule))
    return whole.getvalue()
