"""Logins and mirrors of nodes: who gets which, and what is refused without being repeated."""

import pytest

from macfleet.inventory import load_inventory
from macfleet.inventory.registries import _REFERENCE
from macfleet.inventory.settings import FleetSettings
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.node import RegistryAccess
from macfleet.sources.secrets import KINDS

PLAIN = "hunter2-in-plain"
HOSTS = """\
all:
  vars:
    registries: {registry.example: {user: reader, password: "env:READ", mirrors: ["m.example:5000/proxy"]}}
  children:
    abroad:
      vars:
        registries: {registry.example: {user: guest, password: "file:kept/guest"}, m.example: {}}
      hosts: {rent-01: {}, rent-02: {registries: {}}}
    here:
      hosts: {mac-01: {}}
"""


class Texts:
    """A fleet folder of one inventory file."""

    def __init__(self, text):
        self.text = text

    def read(self, path):
        if path != "hosts.yml":
            raise FileNotFoundError(path)
        return self.text.encode()

    def exists(self, path):
        return path == "hosts.yml"

    def list(self, _folder):
        return ()


def loaded(text):
    return load_inventory(Texts(text), ["hosts.yml"], FleetSettings("/fleet", "fleet"), {})


def test_the_strongest_place_of_the_inventory_says_all_of_a_nodes_registries():
    nodes = {node.name: node.registries for node in loaded(HOSTS).nodes}
    assert nodes == {
        "mac-01": (RegistryAccess("registry.example", "reader", "env:READ", ("m.example:5000/proxy",)),),
        "rent-01": (RegistryAccess("m.example"), RegistryAccess("registry.example", "guest", "file:kept/guest")),
        "rent-02": (),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (f"{{registry.example: {{user: u, password: {PLAIN}}}}}", "password: is not a secret reference"),
        (f'{{registry.example: {{user: u, password: "pass:{PLAIN}"}}}}', "is not a secret reference"),
        (f"{{registry.example: {{user: u, pasword: {PLAIN}}}}}", 'unknown key "pasword" in registries'),
        ("{registry.example: {user: u}}", "a user and a password, or neither"),
        ('{registry.example: {password: "env:X"}}', "a user and a password, or neither"),
        ('{registry.example: {user: "a:b", password: "env:X"}}', "no colon"),
        ("{registry: {}}", "'registry' is not a registry"),
        ("{Registry.Example: {}}", "'Registry.Example' is not a registry"),
        ("{registry.example/team: {}}", "'registry.example/team' is not a registry"),
        ("{registry.example: {mirrors: [a b]}}", "'a b' is not a registry"),
        ("{registry.example: {mirrors: [team/proxy]}}", "'team/proxy' is not a registry"),
        ("{registry.example: {mirrors: [m.example, m.example]}}", "names a mirror twice"),
        ("[registry.example]", "registries: "),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_without_what_stands_there(said, words):
    with pytest.raises(MacfleetError) as caught:
        loaded(f"all:\n  hosts:\n    mac-01:\n      registries: {said}\n")
    [found] = caught.value.diagnostics
    assert words in found.summary
    assert (found.code, found.where.line) == ("E0213", 4)
    assert PLAIN not in repr(found)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_of_secret_reference_is_taken(kind):
    assert _REFERENCE.fullmatch(KINDS[kind])
    assert not _REFERENCE.fullmatch(f"{kind}: ")
