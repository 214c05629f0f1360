"""The same nine files and three facts as bench/fleet/site.yml."""

from io import StringIO

from pyinfra import host
from pyinfra.facts.server import Command
from pyinfra.operations import files

CONTENT = """\
# Part {part}, revision {revision}.
listen = 127.0.0.1:8080
threads = 4
context = 16384
cache = {cache}
"""

for part in range(1, 10):
    text = CONTENT.format(part=part, revision=host.data.revision, cache=host.data.cache)
    files.put(name=f"Part {part}", src=StringIO(text), dest=f"{host.data.cache}/part-{part}.conf", mode="644")
for command in ("uname -m", "uname -r", "hostname"):
    host.get_fact(Command, command)
