"""Networks that differ where they must, a dead forwarder, a node unplugged; and what the journals say."""

from __future__ import annotations

import sqlite3

import pytest

pytestmark = pytest.mark.lab

HEALTH = "curl -sf --max-time 3 http://127.0.0.1:8080/health"
BARE_HEALTH = "curl -sf --max-time 3 http://127.0.0.1:8081/health"
# How BSD and GNU programs answer an option they do not know.
USAGE_ERRORS = ("illegal option", "invalid option", "unrecognized option", "usage: stat", "usage: sed")
USAGE_ERRORS += ("usage: date", "usage: find", "usage: xargs", "command not found", "bad substitution")


@pytest.fixture(scope="module")
def two_modes(serving, tmp_path_factory):
    """A twin whose first node is in bridge mode and whose second is in host mode, both applied."""
    twin = serving.twin(tmp_path_factory.mktemp("modes") / "fleet")
    rows = [
        f"  mac-0{n}: {{mode: {mode}, forwarder: ssh, run: by-hand}}"
        for n, mode in ((1, "bridge"), (2, "host"))
    ]
    twin.write("network.lock", "nodes:\n" + "\n".join(rows) + "\n")
    twin("rollout", "stage3")
    return twin


def test_bridge_mode_publishes_a_port_and_host_mode_is_the_networks_of_the_vm(two_modes, nodes):
    assert two_modes.folder
    found = {}
    for name in nodes.names:
        mode, ports = nodes.brewed(
            name,
            "docker inspect -f '{{.HostConfig.NetworkMode}} {{json .HostConfig.PortBindings}}' chat-engine-1",
        ).split()
        inside = nodes.brewed(name, "docker exec chat-engine-1 readlink /proc/self/ns/net")
        vm = nodes.in_vm(name, "readlink /proc/self/ns/net").stdout
        found[name] = (mode, "8080/tcp" in ports, inside == vm)
        nodes.until(name, HEALTH)
    assert found == {"mac-01": ("chat_default", True, False), "mac-02": ("host", False, True)}


def test_a_container_sees_the_applied_mounts_and_nothing_else_of_the_node(two_modes, nodes):
    assert two_modes.folder
    nodes.login("mac-01", "echo there > /Users/Shared/unseen")
    image = nodes.brewed("mac-01", "docker inspect -f '{{.Image}}' chat-engine-1").strip()
    seen = nodes.brewed(
        "mac-01",
        "docker run --rm --network none --entrypoint sh -v /Users/ops/models:/a:ro -v /Users/Shared:/b "
        f"{image} -c 'ls /a; echo --; ls -A /b'",
    )
    assert seen == "small-chat.gguf\n--\n"
    assert nodes.login("mac-01", "cat /Users/Shared/unseen").stdout == "there\n"


@pytest.mark.parametrize("name", ["mac-01", "mac-02"])
def test_without_the_forwarder_a_port_answers_in_the_vm_only_and_site_mends_it(two_modes, nodes, name):
    nodes.until(name, HEALTH)
    nodes.fault(name, "forwarder-dead")
    assert nodes.login(name, HEALTH).returncode == 7
    assert nodes.in_vm(name, HEALTH).stdout == '{"status":"ok"}'
    plan = two_modes("plan", "playbooks/site.yml", "-l", name, "--output", "json", exits=3).nodes()[name][
        "plan"
    ]
    (change,) = plan["pending"]
    assert change["address"] == "colima_instance.default"
    assert {"field": "status", "before": "forward_dead", "after": "running"} in change["fields"]
    held = two_modes("rollout", "stage3", "-l", name, exits=7)
    assert f"macfleet apply playbooks/site.yml -l {name}" in held.text
    two_modes("apply", "playbooks/site.yml", "-l", name)
    two_modes("rollout", "stage3", "-l", name)
    nodes.until(name, HEALTH)


def test_an_unplugged_node_fails_alone_comes_back_serving_and_is_resumed_alone(serving, nodes):
    serving("rollout", "stage3")
    nodes.fault("mac-02", "unplugged")
    try:
        said = serving("rollout", "stage1", "--again", exits=5)
    finally:
        nodes.fault("mac-02", "unplugged", "--off")
    assert f"mac-02 ✗ unreachable cannot connect to {nodes.address('mac-02')}" in said.text
    assert "mac-01 ✓ unchanged" in said.text
    assert "1 node unreachable; 1 node unchanged exit 5" in said.text
    run = said.text.partition("rollout stage1 --resume ")[2].split()[0]
    nodes.until("mac-02", f"{BARE_HEALTH} && {HEALTH} && docker info", seconds=180)
    resumed = serving("rollout", "stage1", "--resume", run, "--again", "--output", "json").nodes()
    assert {name: node["outcome"] for name, node in resumed.items()} == {"mac-02": "unchanged"}
    assert "finished every node" in serving("rollout", "stage1", "--resume", run, exits=8).text
    after = serving("rollout", "stage3", "--check", "--output", "json").nodes()
    assert [node["plan"]["pending"] for node in after.values()] == [[], []]


def test_no_probe_and_no_step_was_answered_with_a_usage_error(serving):
    said = "\n".join(each.stdout + each.stderr for each in serving.transcript)
    with sqlite3.connect(serving.folder / ".macfleet" / "state.db") as state:
        entries = [detail for (detail,) in state.execute("SELECT detail FROM journal")]
    runs = [
        path.read_text(encoding="utf-8") for path in (serving.folder / ".macfleet" / "runs").rglob("*.json")
    ]
    assert len(entries) > len(runs) // 10
    for text in (said, *entries, *runs):
        assert not [words for words in USAGE_ERRORS if words in text]


def test_no_private_key_is_in_what_was_said_or_recorded(serving, nodes):
    with open(nodes.state["key"], encoding="utf-8") as key:  # noqa: PTH123 - a name from lab.json
        secret = key.read().splitlines()[2]
    recorded = [p.read_bytes() for p in (serving.folder / ".macfleet").rglob("*") if p.is_file()]
    said = "".join(each.stdout + each.stderr for each in serving.transcript)
    assert secret not in said
    assert not [text for text in recorded if secret.encode() in text]
