from __future__ import annotations

import json

import pytest

from macfleet.inventory import explain, load_inventory
from macfleet.inventory.settings import FleetSettings
from macfleet.model.diagnostic import MacfleetError

FLEET = FleetSettings("/fleet", "t")
LIST = """\
{
\t"serving": {"hosts": ["mac-01", "mac-02"], "vars": {"pool": "chat"}, "children": ["hired"]},
\t"hired": ["rent-01"],
\t"_meta": {"hostvars": {
\t\t"rent-01": {"chip": "m4-pro", "hardware_model": "Mini \\ud83d\\ude00"}
\t}}
}
"""


class Printed:
    """The `Scripts` port over what programs print."""

    def __init__(self, printed):
        self.printed = printed

    def runs(self, path):
        return path in self.printed

    def list(self, path):
        return self.printed[path].encode()


def load(memory, texts, *paths, printed=None):
    scripts = Printed(printed or {})
    return load_inventory(memory({**texts, **(printed or {})}), paths, FLEET, {}, scripts)


def refusal(memory, texts, *paths, printed=None):
    with pytest.raises(MacfleetError) as caught:
        load(memory, texts, *paths, printed=printed)
    return [(each.code, str(each.where)) for each in caught.value.diagnostics]


def test_a_program_lists_groups_and_the_variables_of_nodes(memory):
    found = load(memory, {}, "cloud", printed={"cloud": LIST})
    nodes = {node.name: node for node in found.nodes}
    assert list(nodes) == ["mac-01", "mac-02", "rent-01"]
    assert nodes["rent-01"].pool == "chat"
    assert nodes["rent-01"].hardware_model == "Mini 😀"
    winner = explain(found, "rent-01", "chip")[-1]
    assert str(winner.where) == "cloud --list:5:15"


@pytest.mark.parametrize(
    ("printed", "code", "place"),
    [
        ("", "E0233", "1:1"),
        ("[" * 30_000, "E0233", "1:1"),
        ('{"a": ' + "[" * 300 + "]" * 300 + "}", "E0101", "1:206"),
        ("all:\n  hosts: {}\n", "E0233", "1:1"),
        ("[]", "E0233", "1:1"),
        ('{"a": {"hosts": ["b"], "vars": {"pool": NaN}}}', "E0233", "1:1"),
        ('{"a": {"hosts": ["b"]}}', "E0234", "1:1"),
        ('{"a": {"hosts": {"b": {}}}, "_meta": {"hostvars": {}}}', "E0233", "1:17"),
        ('{"a": {"hostz": ["b"]}, "_meta": {"hostvars": {}}}', "E0204", "1:8"),
        ('{"a": ["b[1:2]"], "_meta": {"hostvars": {}}}', "E0205", "1:8"),
        ('{"a": ["b"], "_meta": {"hostvars": {"c": {}}}}', "E0207", "1:37"),
        ('{"a": ["b"], "_meta": {"hostvars": {"b": {"pol": 1}}}}', "E0214", "1:43"),
        ('{"a": ["b"], "a": ["c"], "_meta": {"hostvars": {}}}', "E0102", "1:14"),
    ],
)
def test_output_that_breaks_the_contract_is_refused_with_its_place(memory, printed, code, place):
    assert refusal(memory, {}, "cloud", printed={"cloud": printed})[0] == (code, f"cloud --list:{place}")


def test_a_program_nobody_may_run_is_not_read_as_text(memory):
    assert refusal(memory, {"cloud": "#!/bin/sh\necho {}\n"}, "cloud") == [("E0203", "cloud:1:1")]


def test_a_folder_holds_sources_of_every_kind_in_the_order_of_their_names(memory):
    texts = {
        "inv/b.yml": "web: {hosts: {h2: {chip: m4}}}",
        "inv/a": "[web]\nh1\n",
        "inv/c.d/x.ini": "[web]\nh3\nh2 chip=m5\n",
        "inv/group_vars/web.yml": "pool: chat",
        "inv/host_vars/h3.yml": "chip: m1",
        "inv/README.md": "# text",
        "inv/notes.txt": "text text",
        "inv/hosts.bak": "x y",
        "inv/.git/config": "x y",
        "inv/vars_plugins/mine.py": "x y",
    }
    found = load(memory, texts, "inv", printed={"inv/cloud": '{"web": ["h4"], "_meta": {"hostvars": {}}}'})
    assert {node.name: (node.chip, node.pool) for node in found.nodes} == {
        "h1": ("", "chat"),
        "h2": ("m5", "chat"),
        "h3": ("m1", "chat"),
        "h4": ("", "chat"),
    }
    assert [node.name for node in found.nodes] == ["h1", "h2", "h3", "h4"]
    places = [str(each.where) for each in explain(found, "h2", "chip")]
    assert places == ["inv/b.yml:1:20", "inv/c.d/x.ini:3:4"]


def test_variable_files_that_nothing_reads_are_named(memory):
    texts = {"inv/sub/hosts.yml": "web: {hosts: {a: }}", "inv/sub/group_vars/web.yml": "pool: chat"}
    assert refusal(memory, texts, "inv") == [("E0218", "inv/sub/group_vars/web.yml:1:1")]
    assert load(memory, texts, "inv/sub").nodes[0].pool == "chat"


def test_a_file_and_a_folder_of_variables_for_one_name_are_refused(memory):
    texts = {
        "hosts.yml": "web: {hosts: {a: }}",
        "group_vars/web.yml": "pool: chat",
        "group_vars/web/more.yml": "chip: m4",
    }
    assert refusal(memory, texts, "hosts.yml") == [("E0218", "group_vars/web/more.yml:1:1")]


def test_a_written_ungrouped_holds_only_nodes_of_no_other_group(memory):
    texts = {
        "hosts.yml": "ungrouped: {hosts: {a: , b: }, vars: {pool: lone}}\nweb: {hosts: {a: }}\nall: {hosts: {c: }}"
    }
    found = load(memory, texts, "hosts.yml")
    assert {node.name: node.pool for node in found.nodes} == {"a": "", "b": "lone", "c": "lone"}


@pytest.mark.parametrize(
    ("path", "text", "word"),
    [
        ("hosts.toml", "[web.hosts]\na = {}\n", "TOML"),
        ("aws.yml", "plugin: amazon.aws.aws_ec2\n", "aws_ec2"),
        ("empty.yml/none", None, "no inventory"),
        ("mac-01,", None, "no inventory"),
    ],
)
def test_a_source_that_is_not_read_says_what_to_do(memory, path, text, word):
    with pytest.raises(MacfleetError) as caught:
        load(memory, {path: text} if text else {}, path)
    assert word in caught.value.diagnostics[0].summary
    assert caught.value.diagnostics[0].mend


def test_the_list_of_a_program_is_json_of_any_layout(memory):
    dense = json.dumps(json.loads(LIST), separators=(",", ":"))
    found = load(memory, {}, "cloud", printed={"cloud": dense})
    assert found.node("rent-01").chip == "m4-pro"
