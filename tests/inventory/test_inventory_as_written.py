"""Sources as people write them, each read as Ansible reads it."""

from __future__ import annotations

import pytest
from asking_ansible import NOT_HERE, ours

pytestmark = NOT_HERE
# What the case shows, its files, its sources; the first file unless they are named.
CASES = [
    ("an anchor is repeated", {"h.yml": "all:\n  vars: &d {v: 1, w: 2}\n  hosts: {a: *d, b: {<<: *d, v: 3}}\n"}),
    ("nodes are merged in", {"h.yml": "x: {hosts: &h {a: , b: }}\ny:\n  hosts:\n    c:\n    <<: *h\n"}),
    ("a group is repeated below another", {"h.yml": "x: &x\n  hosts: {a: }\ny: {children: {x: *x}}\n"}),
    ("numbers", {"h.yml": "x: {hosts: {a: {v: 1_000, w: 1e3, x: 1:30, y: 017, z: 0x1f}}}"}),
    ("text of several lines", {"h.yml": "x:\n  hosts:\n    a:\n      v: |\n        b\n        c\n      w: >-\n        d\n        e\n"}),
    ("nothing where a mapping may stand", {"h.yml": "x: {hosts: , vars: , children: }\ny:\n"}),
    ("names with hyphens and dots", {"h.yml": "my-group: {hosts: {a.b-c_d: }}\nmy.group: {hosts: {A1: }}\n"}),
    ("a diamond", {"h.yml": "t: {vars: {v: t}, children: {l: {children: {b: }}, r: {vars: {v: r}, children: {b: }}}}\nb: {hosts: {a: }}"}),
    ("a priority", {"h.yml": "x: {hosts: {a: }, vars: {v: x, ansible_group_priority: 10}}\ny: {hosts: {a: }, vars: {v: y}}"}),
    ("a mapping replaces a mapping", {"h.yml": "all: {vars: {v: {x: 1}}}\nx: {hosts: {a: {v: {y: 2}}}}"}),
    ("three ranges and a port", {"h.yml": "x: {hosts: {'h[1:2][a:b]-[01:02]:2222': }}"}),
    ("lines end as in Windows", {"h.yml": "x:\r\n  hosts:\r\n    a:\r\n      v: w\r\n"}),
    ("a byte order mark", {"h.yml": "\ufeffx: {hosts: {a: }}"}),
    ("comments alone", {"h.yml": "# nothing\n"}),
    ("JSON", {"h.json": '{"x": {"hosts": {"a": {"v": null}}}}'}),
    ("JSON without an ending", {"hosts": '{"x": {"hosts": {"a": {"v": null}}}}'}),
    ("YAML without an ending", {"hosts": "# first\n---\nall:\n  hosts:\n    h[1:2]:\n"}),
    ("INI without an ending", {"hosts": "a:22\n"}),
    ("a section twice", {"h.ini": "[x]\na\n[x]\nb\n"}),
    ("variables before their group", {"h.ini": "[x:vars]\nv=w\n[x]\na\n"}),
    ("words that are no booleans", {"h.ini": "[x]\na v=true w=True y=yes z=None\n"}),
    ("quotes", {"h.ini": "[x]\na v='a b' w=\"c d\" y='\"x\"' z=\"'5'\"\n[x:vars]\nq='a b'\n"}),
    ("equals signs in values", {"h.ini": "[x]\na v=a=b w==c\n[x:vars]\ny=a=b\nz=\n"}),
    ("tabs", {"h.ini": "[x]\n\ta\tv=1\tw=2\n"}),
    ("Windows' lines in INI", {"h.ini": "[x]\r\na v=w\r\n[x:vars]\r\ny=z\r\n"}),
    ("a number sign in a value", {"h.ini": "[x]\na v='b#c'\n[x:vars]\nw=b#c\n"}),
    ("literals", {"h.ini": "[x]\na v=\"{'b': 1}\" w=[1,2] y=010 z=0x10\n[x:vars]\nq=(1, 2)\nr=1,2\n"}),
    ("one of a range has its own", {"h.ini": "[x]\nh[1:2]\nh1 v=w\n"}),
    ("sections with blanks and comments", {"h.ini": "[x] \na\n[y] # c\nb\n[z:hosts]\nc\n"}),
    ("children of all, nodes of no group", {"h.ini": "n\n[ungrouped]\nm\n[all:children]\nx\n[x]\na\n[all:vars]\nv=1\n"}),
    ("nodes of no group have variables", {"h.ini": "n\n[ungrouped:vars]\nv=1\n"}),
    ("variables of nodes of no group in a file", {"h.yml": "all: {hosts: {a: }}\nx: {hosts: {b: }}", "group_vars/ungrouped.yml": "v: 1"}),
    ("files of a folder of variables", {"h.yml": "x: {hosts: {a: }}", "group_vars/all/b.yml": "v: b", "group_vars/all/a.yml": "v: a", "group_vars/all/s/c.yml": "v: c"}),
    ("files for names with dots and colons", {"h.yml": "x: {hosts: {a.b: , '2001:db8::1': }}", "host_vars/a.b": "v: 1", "host_vars/2001:db8::1": "v: 2"}),
    (
        "variables beside two sources",
        {"p/h.yml": "x: {hosts: {a: }}", "p/group_vars/x.yml": "v: p", "q/h.yml": "x: {hosts: {b: }}", "q/group_vars/x.yml": "v: q", "q/group_vars/all.yml": "w: q"},
        ["p/h.yml", "q/h.yml"],
    ),
    (
        "the same sources the other way round",
        {"p/h.yml": "x: {hosts: {a: }}", "p/group_vars/x.yml": "v: p", "q/h.yml": "x: {hosts: {b: }}", "q/group_vars/x.yml": "v: q", "q/host_vars/a.yml": "v: a"},
        ["q/h.yml", "p/h.yml"],
    ),
    (
        "a file of variables against a later source",
        {"p/h.yml": "x: {hosts: {a: }}", "p/group_vars/x.yml": "v: p", "q.yml": "x: {vars: {v: q}}"},
        ["p/h.yml", "q.yml"],
    ),
    (
        "what is passed over in a folder",
        {"inv/a.cfg": "[x]\na\n", "inv/b.retry": "b\n", "inv/c.ini": "[x]\nc\n", "inv/d.orig": "x: y", "inv/e.yaml": "x: {hosts: {e: }}", "inv/f.j2": "[x]\nf\n", "inv/vars_plugins/g.py": "import os\n", "inv/h~": "x"},
        ["inv"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("files", "sources"), [(row[1], row[2:]) for row in CASES], ids=[row[0] for row in CASES]
)
def test_it_is_read_as_ansible_reads_it(oracle, files, sources):
    case = {"files": files, "sources": sources[0] if sources else [next(iter(files))]}
    theirs = oracle.ask(case)
    hosts, groups, refused = ours(case)
    assert not refused
    assert hosts == theirs["hosts"]
    for name, group in theirs["groups"].items():
        if name not in ("all", "ungrouped"):
            assert groups[name] == group["hosts"]
    oracle.seen["alike"] += 1
