"""The kinds that set a Mac up, on a node: they converge once, see what a hand did, and go without a trace."""

import socket

import pytest

from macfleet.documents import Document, validate
from macfleet.engine.answer import unbundle
from macfleet.engine.script import Fragment, bundle
from macfleet.engine.steps import step_text
from macfleet.model.node import Endpoint, Node
from macfleet.model.resource import Action
from macfleet.resources import KINDS, Surroundings

pytestmark = pytest.mark.lab

PARAMS = {kind.kind: kind for kind in KINDS}
# The kind, its parameters, what a hand does, and the fields that differ then.
CASES = [
    ("power_setting", {"sleep": 0, "womp": False}, "sudo pmset -a sleep 10", ["sleep"]),
    ("sysctl_limit", {"name": "maxfiles", "value": 4096, "hard": 8192}, "sudo launchctl limit maxfiles 256 unlimited", ["hard", "value"]),
    ("sysctl_limit", {"name": "iogpu.wired_limit_mb", "value": 1024}, "sudo sysctl iogpu.wired_limit_mb=0", ["value"]),
    ("log_rotation", {"name": "lab", "paths": ["/Users/ops/lab.log"], "size": "1KiB", "owner": "ops:staff", "keep": 1}, "echo | sudo tee -a /etc/newsyslog.d/com.macfleet.lab.conf", ["sha256"]),
    ("cron", {"name": "lab", "schedule": "*/5 * * * *", "run": "/bin/date +%s"}, "crontab -l | sed 's/^./#&/' | crontab -", ["line"]),
    ("cron", {"name": "root", "schedule": "@daily", "run": "/bin/date", "user": "root"}, "sudo crontab -r", ["line"]),
    ("launchd_timer", {"label": "com.example.trim", "program": ["/usr/bin/true"], "every": "1h"}, "sudo launchctl bootout system/com.example.trim", ["loaded"]),
    ("firewall_rule", {"name": "lab", "action": "allow", "port": 8099, "sources": ["192.0.2.0/24"]}, "sudo pfctl -a com.apple/macfleet.lab -F rules", ["rules"]),
]  # fmt: skip


def built(kind, **params):
    checked = validate(Document(params, "case"), PARAMS[kind], kind=kind)
    return checked.build(Surroundings(Node("mac-01", Endpoint("mac-01.example"))))


def run(node, texts, *, steps=False):
    """Run texts in one exec, as the engine does; return each one's output by name."""
    fragments = [Fragment(name, text, 60.0, "step" if steps else "") for name, text in texts.items()]
    done = node("/bin/sh -s", stdin=f"{{ {bundle(fragments, nonce='n')}\n}} </dev/null")
    outputs = unbundle(fragments, done.stdout, nonce="n")
    failed = {name: output.stderr for name, output in outputs.items() if steps and output.exit}
    assert (set(outputs), failed) == (set(texts), {}), done.stderr
    return outputs


def planned(node, resources):
    outputs = run(node, {each.address: each.probe().script for each in resources})
    return [each.change(each.probe().parse(outputs[each.address])) for each in resources]


def converge(node, *resources):
    """Plan and apply; return the actions."""
    changes = planned(node, resources)
    steps = [each for one, change in zip(resources, changes, strict=True) for each in one.steps(change)]
    if steps:
        run(node, {str(at): step_text(step) for at, step in enumerate(steps)}, steps=True)
    return {change.action for change in changes}


def test_every_kind_converges_once_sees_what_a_hand_did_and_goes(node):
    resources = [built(kind, **params) for kind, params, _, _ in CASES]
    assert Action.NOOP not in converge(node, *resources)
    assert converge(node, *resources) == {Action.NOOP}
    run(node, {str(at): by for at, (_, _, by, _) in enumerate(CASES)}, steps=True)
    found = [[each.field for each in change.fields] for change in planned(node, resources)]
    assert found == [fields for _, _, _, fields in CASES]
    converge(node, *resources)
    assert converge(node, *resources) == {Action.NOOP}
    turned = "head -c 3000 /dev/zero > lab.log; sudo newsyslog; stat -f '%N %z %Su' lab.log lab.log.0"
    assert node(turned).stdout.split() == ["lab.log", "0", "ops", "lab.log.0", "3000", "ops"]
    gone = [built(kind, **params, state="absent") for kind, params, _, _ in CASES if kind != "power_setting"]
    assert converge(node, *gone) == {Action.DELETE}
    assert converge(node, *gone) == {Action.NOOP}


def test_the_disk_of_the_home_is_the_internal_one_and_not_endless(node):
    wanted = {"path": "/Users/ops", "mounted_on": "/System/Volumes/Data", "owners": True}
    (fits,) = planned(node, [built("mount_check", **wanted, free="1MiB")])
    (full,) = planned(node, [built("mount_check", **wanted, free="9000TiB")])
    (foreign,) = planned(node, [built("mount_check", path="/System")])
    assert fits.action is Action.NOOP
    assert "not at least 9000" in full.blocked
    assert "may not write" in foreign.blocked


def reaches(node, port):
    address = node.state.nodes[0].address
    try:
        socket.create_connection((address, port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.fixture
def listener(node):
    """A program that takes connections on a port of the node."""
    listen = "$s = IO::Socket::INET->new(Listen => 5, LocalPort => 8099, ReuseAddr => 1) or die; close $s->accept while 1"
    node(f"nohup perl -MIO::Socket::INET -e '{listen}' >/dev/null 2>&1 </dev/null & echo $! > listener.pid")
    node.until("curl -s -o /dev/null telnet://127.0.0.1:8099 </dev/null; [ $? != 7 ]")
    yield 8099
    node('kill "$(cat listener.pid)"')


def test_only_the_sources_of_a_rule_reach_the_port(node, listener):
    assert reaches(node, listener)
    rule = {"name": "lab", "action": "allow", "port": listener}
    others = built("firewall_rule", **rule, sources=["192.0.2.0/24"])
    converge(node, others)
    assert not reaches(node, listener)
    assert node(f"curl -s -o /dev/null telnet://127.0.0.1:{listener} </dev/null; [ $? != 7 ]").returncode == 0
    ours = node("echo $SSH_CONNECTION").stdout.split()[0]
    converge(node, built("firewall_rule", **rule, sources=["192.0.2.0/24", ours]))
    assert reaches(node, listener)
    converge(node, built("firewall_rule", **rule, sources=["192.0.2.0/24"], state="absent"))
    assert reaches(node, listener)
