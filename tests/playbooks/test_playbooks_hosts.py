"""A playbook's hosts, read before anything else of it."""

import pytest

from macfleet.playbooks import hosts_of, load_stage

HEAD = "- name: n\n  stage: provision\n"


class Files:
    """One file."""

    def __init__(self, text):
        self._text = text

    def read(self, path):
        if self._text is None:
            raise FileNotFoundError(path)
        return self._text.encode()

    def exists(self, path):
        return path == "site.yml"

    def list(self, folder):
        _ = folder
        return ()


@pytest.mark.parametrize("hosts", ["serving", "rented:&m4", '"mac-[01:10]"'])
def test_they_are_those_of_the_whole_playbook(hosts):
    files = Files(f"{HEAD}  hosts: {hosts}\n")
    assert hosts_of(files, "site.yml") == load_stage(files, "site.yml").hosts == hosts.strip('"')


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "hosts: serving",
        "- [a",
        "- a\n",
        f"{HEAD}  hosts: [a, b]\n",
        HEAD,
        f"{HEAD}  hosts: a\n{HEAD}  hosts: b\n",
    ],
)
def test_where_they_cannot_be_told_nobody_is_meant(text):
    assert hosts_of(Files(text), "site.yml") == ""
