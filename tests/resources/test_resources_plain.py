"""Probes that share a shell leave it as it was, whatever they find."""

import os

import pytest

from macfleet.engine.files import FUNCTIONS
from macfleet.facts import versions
from macfleet.resources.directory import Directory
from macfleet.resources.file import File
from macfleet.resources.link import Link
from macfleet.testing.mac import PROGRAMS, FakeMac
from macfleet.testing.transport import LocalTransport

KINDS = {
    "file": lambda path: File(path, b"").probe(),
    "directory": lambda path: Directory(path).probe(),
    "link": lambda path: Link(path, "/nowhere").probe(),
    **{name: lambda _, probe=probe: probe for name, probe in versions.probes().items() if probe.plain},
}


def a_link(path):
    path.symlink_to("nowhere")


MAKE = {
    "nothing": lambda _: None,
    "a file": lambda path: path.write_text("text"),
    "a directory": lambda path: path.mkdir(),
    "a link": a_link,
    "a pipe": os.mkfifo,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("found", MAKE)
@pytest.mark.parametrize("answered", [True, False], ids=["programs answer", "programs fail"])
def test_a_plain_probe_leaves_the_shell_as_it_was(tmp_path, kind, found, answered):
    MAKE[found](tmp_path / "it's")
    probe = KINDS[kind](str(tmp_path / "it's"))
    assert probe.plain or probe.file
    programs = PROGRAMS if answered else {**PROGRAMS, **dict.fromkeys(("stat", "sysctl"), "return 3")}
    script = f"""cd /; was="$- $PWD $PATH $(trap)"; set --
{FUNCTIONS}
{probe.script}
[ "$- $PWD $PATH $(trap)" = "$was" ] && [ $# = 0 ] && [ -z "$!" ] && echo as it was"""
    done = FakeMac(LocalTransport(tmp_path), programs=dict(programs)).run(script, deadline=60)
    assert done.stdout.endswith(b"as it was\n")
