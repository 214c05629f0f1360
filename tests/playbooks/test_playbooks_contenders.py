"""Roles and playbooks among the places that give a variable a value."""

from __future__ import annotations

import pytest

from macfleet.inventory import explain, load_inventory
from macfleet.inventory.settings import FleetSettings
from macfleet.playbooks.contenders import contenders_around

FILES = {
    "hosts.yml": "all: {hosts: {mac-01: , mac-02: {port: 3}}}\n",
    "roles/web/defaults/main.yml": "# first\nport: 1\nname: w\n",
    "roles/api/defaults/main.yml": "port: 2\n",
    "roles/api/vars/main.yml": "name: a\n",
    "roles/api/meta/main.yml": "dependencies:\n  - {role: web, vars: {name: d}}\n",
    "playbooks/site.yml": "- name: Site\n  hosts: all\n  vars: {port: 4}\n  roles:\n"
    "    - api\n    - role: web\n      vars: {port: 5}\n",
    "playbooks/broken.yml": "- {",
}


class Texts:
    """The `Files` port over `FILES`."""

    def read(self, path):
        return FILES[path].encode()

    def exists(self, path):
        return path in FILES

    def list(self, folder):
        return tuple(sorted(path for path in FILES if path.startswith(f"{folder}/")))


@pytest.mark.parametrize(
    ("node", "variable", "expected"),
    [
        (
            "mac-01",
            "port",
            [
                ("default of role api", "roles/api/defaults/main.yml:1:1", "role api"),
                ("vars of playbooks/site.yml", "playbooks/site.yml:3:10", "playbooks/site.yml"),
                ("given to role web by playbooks/site.yml", "playbooks/site.yml:7:14", "role web"),
            ],
        ),
        (
            "mac-02",
            "port",
            [
                ("node mac-02", "hosts.yml:1:34", ""),
                ("vars of playbooks/site.yml", "playbooks/site.yml:3:10", "playbooks/site.yml"),
                ("given to role web by playbooks/site.yml", "playbooks/site.yml:7:14", "role web"),
            ],
        ),
        (
            "mac-01",
            "name",
            [
                ("vars of role api", "roles/api/vars/main.yml:1:1", "role api"),
                ("given to role web by role api", "roles/api/meta/main.yml:2:24", "role web"),
            ],
        ),
    ],
)
def test_what_counts_in_a_role_or_a_playbook_alone_stands_beside_the_inventory(node, variable, expected):
    declared = {"port": 1, "name": "w"}
    inventory = load_inventory(Texts(), ["hosts.yml"], FleetSettings("/fleet", "t"), declared)
    rows = explain(inventory, node, variable, *contenders_around(Texts(), variable))
    assert [(row.origin, str(row.where), row.scope) for row in rows if row.winner] == expected


def test_every_place_is_named_whether_it_counts_or_not():
    inventory = load_inventory(Texts(), ["hosts.yml"], FleetSettings("/fleet", "t"), {"port": 1})
    rows = explain(inventory, "mac-02", "port", *contenders_around(Texts(), "port"))
    assert [row.value for row in rows] == [2, 1, 3, 4, 5]
