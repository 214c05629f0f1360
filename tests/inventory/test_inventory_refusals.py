from __future__ import annotations

import pytest

from macfleet.model.exit_codes import ExitCode


def node_with(variables: str) -> str:
    return f"all:\n  hosts:\n    a:\n      {variables}\n"


@pytest.mark.parametrize(
    ("variables", "summary", "column"),
    [
        ("chip: 4", "must be text", 13),
        ("chip: m4 pro", "one word", 13),
        ("site: true", "must be text", 13),
        ("memory: lots", "not a number", 15),
        ("memory: true", "must be a size", 15),
        ("memory: 24 gigs", "not a number", 15),
        ("platform: linux/riscv64", "linux/arm64 or linux/amd64", 17),
        ("ownership: borrowed", "owned or rented", 18),
        ("arms: bare", "must be a list", 13),
        ("arms: [bare, metal]", "'metal' is no arm", 13),
        ("arms: [bare, bare]", "twice", 13),
        ("min_ready: yes", "whole number", 18),
        ("relay: perhaps", "must be true or false", 14),
        ("min_ready: -1", "greater than or equal to 0", 18),
        ("delivery: carrier", "pull|push", 17),
        ("ansible_port: 70000", "less than or equal to 65535", 21),
        ("ansible_port: ssh", "whole number", 21),
        ("ansible_host: 1.2.3.4:22", "ansible_port", 21),
        ("ansible_host: -oProxyCommand=x", "host name", 21),
        ("ansible_user: -root", "login name", 21),
        ("host_key: MD5:aa", "fingerprint", 17),
        ("ansible_ssh_common_args: -o StrictHostKeyChecking=no", "ssh_config", 32),
        ("ansible_ssh_common_args: -J '-oX'", "ProxyJump", 32),
        ("ansible_ssh_common_args: -J 'a", "No closing quotation", 32),
        ("roots: {weights: models, cache: /c, logs: /l}", "absolute path", 24),
        ("roots: {weights: /m/../x, cache: /c, logs: /l}", "absolute path", 24),
        ("roots: {weights: /m, cache: /m/c, logs: /l}", "must lie apart", 14),
        ("roots: {weights: /m, cache: /c}", 'key "logs" is missing', 14),
        ("roots: {weights: /m, cache: /c, logs: /l, wights: /x}", 'unknown key "wights" in roots', 57),
        ("colima: {cpus: 0, memory: 12GiB, disk: 100GiB}", "greater than or equal to 1", 22),
        ("colima: big", "colima:", 15),
    ],
)
def test_a_wrong_value_is_refused_where_it_stands(problems, variables, summary, column):
    (found,) = problems(node_with(variables))
    assert found.code == "E0213"
    assert summary in found.summary
    assert (found.where.line, found.where.column) == (4, column)
    assert found.exit_code is ExitCode.USAGE


@pytest.mark.parametrize(
    ("variables", "summary", "mend"),
    [
        ("chipp: m4", 'unknown key "chipp" for node a', 'did you mean "chip"?'),
        ("ansible_hots: x", 'unknown key "ansible_hots" for node a', 'did you mean "ansible_host"?'),
        ("engine_prot: 1", 'unknown key "engine_prot" for node a', 'did you mean "engine_port"?'),
        ("zzz: 1", 'unknown key "zzz" for node a', "macfleet.yml"),
        ("ansible_password: x", '"ansible_password" for node a is refused', "ansible_ssh_private_key_file"),
        ("inventory_hostname: x", '"inventory_hostname" for node a cannot be set', "Remove"),
    ],
)
def test_a_variable_nothing_reads_is_refused_with_a_suggestion(problems, variables, summary, mend):
    (found,) = problems(node_with(variables), engine_port=8080)
    assert (found.code, found.summary, found.where.line) == ("E0214", summary, 4)
    assert mend in found.mend


def test_a_password_is_not_repeated(problems):
    (found,) = problems(node_with("ansible_ssh_pass: hunter2"))
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize(
    ("template", "reason", "mend"),
    [
        ("{{ nothing }}", "'nothing' is undefined", ""),
        ("{{ inventory_hostnam }}", "is undefined", 'did you mean "inventory_hostname"?'),
        ("{{ chip.cores.count }}", "has no attribute", ""),
        ("{{ site }}", "it needs itself", ""),
        ("{{ unclosed", "end of template", ""),
        ("{{ 1 / 0 }}", "division by zero", ""),
        ("{{ ''.__class__.__mro__ }}", "__class__", ""),
        ("{{ [].append(1) }}", "unsafe", ""),
        ("{{ 'x' * 99999 }}", "longer than", ""),
        ("{{ lipsum() }}", "undefined", ""),
    ],
)
def test_a_template_that_fails_is_refused_with_its_node(problems, template, reason, mend):
    found = problems(f'all:\n  hosts:\n    a:\n      chip: m4\n      site: "{template}"\n')
    assert len(found) == 1
    assert found[0].code == "E0212"
    assert reason in found[0].summary
    assert mend in found[0].mend
    assert (found[0].where.line, found[0].node) == (5, "a")


def test_a_template_with_a_wrong_result_says_what_it_gave(problems):
    (found,) = problems('all: {hosts: {a: {ansible_user: ops, memory: "{{ ansible_user }}"}}}')
    assert found.code == "E0213"
    assert found.why == 'On a the template gives "ops".'


@pytest.mark.parametrize(
    ("hosts", "code", "summary"),
    [
        ("- a", "E0203", "must be a mapping of groups"),
        ("all: {hosts: [a, b]}", "E0203", '"hosts" of group "all" must be a mapping'),
        ("all: {hosts: {a: 5}}", "E0203", 'node "a" must be a mapping'),
        ("all: {vars: x}", "E0203", '"vars" of group "all" must be a mapping'),
        ("all: {host: {a: }}", "E0204", 'unknown key "host" in group "all"'),
        ("all: {pool: chat}", "E0204", 'unknown key "pool" in group "all"'),
        ("all: {hosts: {a b: }}", "E0205", '"a b" cannot be a node'),
        ("all: {hosts: {../x: }}", "E0205", '"../x" cannot be a node'),
        ("all: {hosts: {a..b: }}", "E0205", '"a..b" cannot be a node'),
        ("all: {hosts: {-rf: }}", "E0205", '"-rf" cannot be a node'),
        ('all: {hosts: {"a:ssh": }}', "E0205", '"a:ssh" cannot be a node'),
        ('all: {hosts: {"a:99999": }}', "E0213", "ansible_port: Input should be less than or equal to 65535"),
        ('all: {hosts: {"fe80::1%en0": }}', "E0205", '"fe80::1%en0" cannot be a node'),
        ("1st: {}", "E0205", '"1st" cannot be a group'),
        ("all: {hosts: {a: {some-thing: 1}}}", "E0205", '"some-thing" cannot be a variable'),
        ('all: {hosts: {"m[3:1]": }}', "E0206", "reversed"),
        ("x: {children: {y: {children: {x: }}}}", "E0208", "x > y > x"),
        ("x: {children: {all: }}", "E0208", '"all" cannot be a child'),
        ("all: {hosts: {mac: , Mac: {ansible_host: h}}}", "E0209", "upper and lower case"),
        ("{m4: {hosts: {m4: }}}", "E0209", "is a node and a group"),
        ("all: {hosts: {rented: }}", "E0209", "is a node and a group"),
        ("all: {hosts: {a: {ansible_host: h}, b: {ansible_host: h}}}", "E0215", "are both h port 22"),
        ("all: {vars: {pool: p}, hosts: {a: {min_ready: 2}, b: }}", "E0216", 'pool "p" has min_ready 2'),
        ("all: {hosts: {a: {relay: true}}}", "E0643", '"a" relays images within its site, and has none'),
        ("rented: {hosts: {a: }}", "E0217", 'a is in group "rented", but its ownership is "owned"'),
        ("all: {hosts: {a: {chip: m4}, a: }}", "E0102", "twice"),
        ("all: {hosts: {a: ", "E0101", "YAML"),
    ],
)
def test_a_shape_that_would_need_a_guess_is_refused(problems, hosts, code, summary):
    found = problems(hosts)
    assert found[0].code == code
    assert summary in found[0].summary
    assert found[0].where.file == "inventory/hosts.yml"


@pytest.mark.parametrize(
    ("hosts", "code", "first", "second"),
    [
        ("all:\n  hosts:\n    a: {chip: m4,\n      chip: m5}\n", "E0102", 3, 4),
        ("all:\n  hosts:\n    mac:\n    Mac: {ansible_host: h}\n", "E0209", 3, 4),
        ("web:\n  hosts:\n    web:\n", "E0209", 1, 3),
        ("x: {hosts: {a: }, vars: {v: 1}}\ny: {hosts: {a: }, vars: {v: 2}}\n", "E0210", 1, 2),
        ("all:\n  hosts:\n    m[1:2]: {v: 1}\n    m2: {v: 2}\n", "E0210", 3, 4),
        ("all:\n  hosts:\n    a: {ansible_host: h}\n    b: {ansible_host: h}\n", "E0215", 3, 4),
        (
            "all:\n  vars: {pool: p}\n  hosts:\n    a: {min_ready: 2}\n    b: {min_ready: 3}\n",
            "E0216",
            4,
            5,
        ),
    ],
)
def test_two_places_that_clash_are_both_named(problems, hosts, code, first, second):
    (found,) = problems(hosts, v=None)
    assert (found.code, found.where.line) == (code, second)
    assert f"inventory/hosts.yml:{first}:" in found.why


@pytest.mark.parametrize(
    ("path", "text", "code", "words"),
    [
        ("inventory/group_vars/servin.yml", "site: x", "E0207", 'did you mean "serving"?'),
        ("inventory/host_vars/mac-1.yml", "site: x", "E0207", 'did you mean "mac-01"?'),
        ("inventory/group_vars/rented.yml", "site: x", "E0207", "implicit group"),
        ("inventory/group_vars/serving.yml", "- x", "E0203", "mapping of variables"),
        ("inventory/group_vars/serving.yml", "$ANSIBLE_VAULT;1.1;AES256\n61", "E0202", "secrets"),
        ("inventory/group_vars/serving.yml", "ansible_group_priority: 3", "E0211", "hosts file"),
        ("inventory/group_vars/serving.yml", "sit: x", "E0214", 'unknown key "sit" for group serving'),
    ],
)
def test_a_variables_file_nobody_would_read_is_refused(problems, path, text, code, words):
    (found,) = problems("serving: {hosts: {mac-01: }}", {path: text})
    assert (found.code, found.where.file) == (code, path)
    assert words in f"{found.summary} {found.why} {found.mend}"


def test_a_missing_source_is_refused(problems):
    (found,) = problems("", fleet="{name: t, inventory: inventory/hots.yml}")
    assert (found.code, found.where.file) == ("E0201", "inventory/hots.yml")


def test_every_problem_is_reported_at_once_in_the_order_of_the_files(problems):
    hosts = """\
all:
  hosts:
    mac-[2:1]:
    mac-[03:04]:
      chipp: m4
      memory: lots
      ansible_host: "{{ nobody }}"
  host: {}
"""
    found = problems(hosts, {"inventory/group_vars/nobody.yml": "site: x"})
    assert [(each.code, each.where.file, each.where.line) for each in found] == [
        ("E0207", "inventory/group_vars/nobody.yml", 1),
        ("E0206", "inventory/hosts.yml", 3),
        ("E0214", "inventory/hosts.yml", 5),
        ("E0213", "inventory/hosts.yml", 6),
        ("E0212", "inventory/hosts.yml", 7),
        ("E0204", "inventory/hosts.yml", 8),
    ]
