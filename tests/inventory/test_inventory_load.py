from __future__ import annotations

import pytest

from macfleet.model.node import Arm, Endpoint, Ownership, Roots, VmSize

HOSTS = """\
all:
  vars: {ansible_user: ops}
  children:
    serving:
      vars: {pool: chat, arms: [bare, container]}
      hosts:
        mac-[01:02]:
          ansible_host: "{{ inventory_hostname }}.example"
          hardware_model: Mac mini M4
          chip: m4
          memory: 24GiB
          ownership: owned
          offer: mini-m4-24
        rent-01:
          ansible_host: 203.0.113.7
          ansible_port: 2222
          ansible_ssh_private_key_file: keys/rent
          ansible_ssh_common_args: -o ProxyJump=ops@bastion.example
          host_key: SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
          chip: m4-pro
          memory: 64GiB
          ownership: rented
          site: par
          hardware: blade-7
          roots: {weights: /Users/ops/models, cache: /Users/ops/hf, logs: /Users/ops/logs}
          colima: {cpus: 6, memory: 12GiB, disk: 100GiB}
    edge:
      hosts: {edge-01: {platform: linux/amd64, role: edge}}
"""


def test_a_node_has_every_setting_typed(load):
    node = load(HOSTS).node("rent-01")
    assert node.endpoint == Endpoint(
        "203.0.113.7", 2222, "ops", "/fleet/keys/rent", "ops@bastion.example", "SHA256:" + "A" * 43
    )
    assert node.memory == 64 * 2**30
    assert node.ownership is Ownership.RENTED
    assert node.arms == (Arm.BARE, Arm.CONTAINER)
    assert node.hardware == "blade-7"
    assert node.roots == Roots("/Users/ops/models", "/Users/ops/hf", "/Users/ops/logs")
    assert node.colima == VmSize(6, 12 * 2**30, 100 * 2**30)
    assert node.groups == ("all", "chat", "m4-pro", "par", "rented", "serving")


def test_what_is_not_said_has_a_default(load):
    node = load("all: {hosts: {mac-01: }}").node("mac-01")
    assert node.endpoint == Endpoint("mac-01")
    assert (node.platform, node.hardware, node.min_ready, node.delivery) == (
        "linux/arm64",
        "mac-01",
        1,
        "pull",
    )
    assert (node.arms, node.memory, node.roots, node.colima) == ((), 0, None, None)
    assert node.groups == ("all", "owned", "ungrouped")
    assert node.variables["platform"] == "linux/arm64"


def test_nodes_keep_the_order_they_are_written_in(load):
    assert [node.name for node in load(HOSTS).nodes] == ["mac-01", "mac-02", "rent-01", "edge-01"]


def test_templates_see_the_variables_of_their_own_node(load):
    inventory = load(HOSTS)
    assert [inventory.node(name).endpoint.host for name in ("mac-01", "mac-02")] == [
        "mac-01.example",
        "mac-02.example",
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("{{ cores }}", 6),
        ("{{ cores + 2 }}", 8),
        ("{{ [cores, 'x'] }}", [6, "x"]),
        ("{{ {'a': {'b': cores}} }}", {"a": {"b": 6}}),
        ("{{ release }}", "3.10"),
        ("v{{ release }}", "v3.10"),
        ("{{ cores }}{{ cores }}", "66"),
        ("{{ nothing | default('none') }}", "none"),
        ("{{ nothing is defined }}", False),
        ("{{ role_port }}", 8080),
        ("{{ group_names | join(',') }}", "serving"),
        ("{% if cores > 4 %}big{% else %}small{% endif %}", "big"),
        (["{{ cores }}", {"k": "{{ release }}"}], [6, {"k": "3.10"}]),
        ("plain { text }", "plain { text }"),
    ],
)
def test_one_expression_keeps_its_type_and_mixed_text_is_text(load, value, expected):
    import json

    hosts = f"serving: {{hosts: {{m: {{x: {json.dumps(value)}, cores: 6, release: '3.10'}}}}}}"
    inventory = load(hosts, x=None, cores=None, release=None, role_port="{{ 8000 + 80 }}")
    assert inventory.node("m").variables["x"] == expected


def test_declared_variables_of_the_fleet_have_their_default_and_can_be_set(load):
    fleet = "{name: t, variables: {rack: {description: where, default: r0}, note: {description: free}}}"
    inventory = load("all: {hosts: {a: , b: {rack: r7, note: hot}}}", fleet=fleet)
    assert inventory.node("a").variables["rack"] == "r0"
    assert inventory.node("b").variables["rack"] == "r7"
    assert "note" not in inventory.node("a").variables


def test_a_hosts_folder_is_every_yaml_file_directly_in_it(load):
    fleet = "{name: t, inventory: inventory}"
    others = {
        "inventory/more.yaml": "all: {hosts: {b: }}",
        "inventory/notes.md": "not read",
        "inventory/group_vars/all.yml": "site: here",
    }
    inventory = load("all: {hosts: {a: }}", others, fleet=fleet)
    assert {node.name: node.site for node in inventory.nodes} == {"a": "here", "b": "here"}


def test_an_empty_source_holds_no_node(load):
    assert load("").nodes == ()


def test_a_group_without_a_node_is_a_warning(load):
    (warning,) = load("{all: {hosts: {a: }}, spare: }").warnings
    assert warning.summary == 'group "spare" has no node'
    assert str(warning.where) == "inventory/hosts.yml:1:23"


def test_what_ansible_reads_and_macfleet_ignores_is_accepted(load):
    node = load("all: {hosts: {a: {ansible_python_interpreter: auto, ansible_become: true}}}").node("a")
    assert node.variables["ansible_become"] is True


@pytest.mark.parametrize(
    ("value", "jump"),
    [
        ("-J bastion", "bastion"),
        ("-Jops@bastion:2200", "ops@bastion:2200"),
        ("-o ProxyJump=a,b", "a,b"),
        ("-oProxyJump=a", "a"),
        ("-o 'ProxyJump a'", "a"),
        ("-o ProxyJump=none", "none"),  # switches off what ssh_config says
        ("", ""),
    ],
)
def test_a_proxy_jump_is_read_from_ssh_arguments(load, value, jump):
    hosts = f'all: {{hosts: {{a: {{ansible_ssh_common_args: "{value}"}}}}}}'
    assert load(hosts).node("a").endpoint.jump == jump


@pytest.mark.parametrize("path", ["/etc/key", "~/.ssh/key"])
def test_only_relative_key_files_start_at_the_fleet_folder(load, path):
    hosts = f"all: {{hosts: {{a: {{ansible_private_key_file: {path}}}}}}}"
    assert load(hosts).node("a").endpoint.identity_file == path


def test_an_address_of_the_sixth_version_is_kept_bare(load):
    hosts = 'all: {hosts: {a: {ansible_host: "[2001:db8::0:1]"}}}'
    assert load(hosts).node("a").endpoint.host == "2001:db8::1"
