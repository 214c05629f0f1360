"""Whatever stands in a source: an inventory, or diagnostics that say where and what to do."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from macfleet.inventory import load_inventory
from macfleet.inventory.settings import FleetSettings
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.exit_codes import ExitCode

PIECES = st.sampled_from(
    [
        "all", "web", "hosts", "vars", "children", "_meta", "hostvars", "mac-[01:03]", "[2001:db8::1]:22", "h1",
        ": ", ":", "\n", "\n  ", "\n    ", "{", "}", "[", "]", ", ", "&a ", "*a", "<<: ", "- ", "? ", "!x ", "'", '"',
        "#", " # c", "=", "[web]\n", "[web:vars]\n", "[web:children]\n", "chip=m4", "chip: m4", "{{ chip }}",
        "{{", "{% if", "%}", "null", "true", "1e999", ".nan", "\t", "\r\n", "\\", "\0", "\u2028", "ü", "\ufeff", "|\n",
    ]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=14).map("".join) | st.text(max_size=30)
BYTES = TEXTS.map(str.encode) | st.binary(max_size=40)


class Bytes:
    """The `Files` and `Scripts` ports over bytes; one source is a program that prints them."""

    def __init__(self, texts):
        self.texts = texts

    def read(self, path):
        return self.texts[path]

    def exists(self, path):
        return path in self.texts

    def runs(self, path):
        return path == "program"

    def list(self, path):
        if path == "program":
            return self.texts[path]
        return tuple(sorted(each for each in self.texts if each.startswith(f"{path}/")))


@pytest.mark.parametrize("source", ["hosts.yml", "hosts.ini", "hosts", "program", "group_vars/all.yml"])
@given(text=BYTES)
@example(text=b"a: &a [*a]")
@example(text=b"{" * 400)
def test_any_text_is_an_inventory_or_is_refused_with_its_place(source, text):
    files = Bytes({"plain.yml": b"web: {hosts: {h1: }}", source: text})
    paths = ["plain.yml"] if source.startswith("group_vars/") else ["plain.yml", source]
    refused = ()
    try:
        load_inventory(files, paths, FleetSettings("/fleet", "t"), {}, files)
    except MacfleetError as error:
        refused = error.diagnostics
    assert {each.exit_code for each in refused} <= {ExitCode.USAGE}
    assert all(each.where or each.node for each in refused)
