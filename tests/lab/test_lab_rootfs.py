"""The mirror comes from the machine's own apt configuration, in either of its formats."""

from __future__ import annotations

import dataclasses

import pytest

from macfleet.lab.rootfs import Recipe, debian_mirror
from macfleet.model.diagnostic import MacfleetError

DEB822 = """\
Types: deb
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
"""
SECURITY_FIRST = "\n\n".join(reversed(DEB822.split("\n\n")))
ONE_LINE = """\
# deb http://old.example/debian stable main
deb [signed-by=/usr/share/keyrings/other.gpg] https://other.example/apt stable main
deb-src http://source.example/debian bookworm main
deb [arch=amd64] http://mirror.example/debian bookworm main contrib
"""


@pytest.mark.parametrize("text", [DEB822, SECURITY_FIRST, ONE_LINE])
def test_the_first_debian_mirror_is_taken(text):
    assert debian_mirror([text]) == "http://mirror.example/debian"


def test_files_are_read_in_order():
    later = "deb http://second.example/debian bookworm main\n"
    assert debian_mirror(["", DEB822, later]) == "http://mirror.example/debian"


@pytest.mark.parametrize(
    "text", ["", "deb https://other.example/apt stable main\n", "Types: deb-src\nURIs: x\n"]
)
def test_a_machine_without_a_debian_mirror_is_told_so(text):
    with pytest.raises(MacfleetError) as caught:
        debian_mirror([text])
    assert caught.value.diagnostics[0].code == "E0921"


def test_the_cache_key_changes_with_packages_and_hook(tmp_path):
    hook = tmp_path / "hook.sh"
    hook.write_text("true\n")
    one = Recipe("node", ("zsh",), hook)
    digests = {one.digest(), dataclasses.replace(one, packages=("zsh", "perl")).digest()}
    hook.write_text("false\n")
    digests.add(one.digest())
    assert len(digests) == 3
