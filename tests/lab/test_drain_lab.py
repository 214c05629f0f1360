"""Nodes leave and come back under streaming load, on lab nodes with real OpenSSH, Docker and llama-server.

MACFLEET_DRAIN_FLEET may name the fleet folder of a lab that is up with its first three stages done.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import paramiko
import pytest
import yaml

from macfleet.lab import LabConfig, down, up
from macfleet.lab.docker import find_docker

pytestmark = pytest.mark.lab
# Every refused connection would be a line of log.
logging.getLogger("paramiko.transport").setLevel(logging.CRITICAL)
SOURCE = Path(__file__).parents[2] / "src"
PORT = 8080
STREAMS = 300


class Fleet:
    """A fleet folder whose two nodes serve in one pool that must keep one."""

    def __init__(self, root):
        self.root = root
        hosts = yaml.safe_load((root / "inventory/lab/hosts.yml").read_text())
        serving = hosts["all"]["children"]["serving"]
        self.key = serving["vars"]["ansible_ssh_private_key_file"]
        self.addresses = {name: host["ansible_host"] for name, host in serving["hosts"].items()}
        serving["vars"]["min_ready"] = 1
        (root / "inventory/lab/hosts.yml").write_text(yaml.safe_dump(hosts, sort_keys=False))

    def start(self, *arguments):
        return subprocess.Popen(
            [sys.executable, "-m", "macfleet", *arguments],
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments, code=0):
        process = self.start(*arguments)
        out, err = process.communicate(timeout=600)
        assert process.returncode == code, f"{arguments} ended with {process.returncode}\n{out}\n{err}"
        return out + err

    def status(self, node):
        process = self.start("status", "--output", "json")
        out, err = process.communicate(timeout=120)
        assert process.returncode in (0, 5), err
        rows = json.loads(out.splitlines()[0])["nodes"]
        return next(row for row in rows if row["node"] == node)

    def until(self, node, accepts, seconds=60):
        """Look at a node until what it says is accepted."""
        ends = time.monotonic() + seconds
        while not accepts(found := self.status(node)):
            assert time.monotonic() < ends, found
        return found

    def edit(self, node):
        """Change a file of stage 3 by hand, so that the stage has something to mend."""
        self.run("exec", "-l", node, "--", "echo '# by hand' >> macfleet/compose.yaml")

    def newest_run(self):
        with sqlite3.connect(self.root / ".macfleet" / "state.db") as state:
            return state.execute("SELECT id FROM runs ORDER BY seq DESC LIMIT 1").fetchone()[0]

    def restart(self, node):
        """Turn a node off and on: nothing but its disk stays."""
        lab = json.loads((Path(self.key).parent / "lab.json").read_text())
        container = next(each["container"] for each in lab["nodes"] if each["name"] == node)
        find_docker().run("restart", container)
        self.until(node, lambda row: row["reachable"])

    def back(self):
        for node in self.addresses:
            state = self.status(node)["state"]
            if state == "draining":
                self.run("uncordon", "--cancel", node)
            elif state != "active":
                self.run("undrain", node)


class Client:
    """Opens one connection a request, at a node or, when that refuses, at the other one."""

    def __init__(self, fleet):
        key = paramiko.Ed25519Key.from_private_key_file(fleet.key)
        self.transports = {}
        for name, address in fleet.addresses.items():
            self.transports[name] = paramiko.Transport((address, 22))
            self.transports[name].connect(username="ops", pkey=key)
        self.outcomes = Counter()
        self.served = Counter()
        self.lock = threading.Lock()

    def close(self):
        for transport in self.transports.values():
            transport.close()

    def stream(self, order, tokens):
        """Return ``complete`` or ``cut`` of one stream, ``refused`` when every node refused it."""
        for name in order:
            outcome = self._ask(name, tokens)
            with self.lock:
                self.served[name, outcome] += 1
            if outcome != "refused":
                break
        with self.lock:
            self.outcomes[outcome] += 1
        return outcome

    def _ask(self, name, tokens):
        try:
            channel = self.transports[name].open_channel(
                "direct-tcpip", ("127.0.0.1", PORT), ("127.0.0.1", 0)
            )
        except paramiko.SSHException:
            # Of two refusals at once paramiko names the reason of one; the connection itself must live.
            assert self.transports[name].is_active()
            return "refused"
        with channel:
            channel.settimeout(120)
            channel.sendall(request(tokens))
            answer = b""
            while piece := channel.recv(65536):
                answer += piece
        done = b" 200 " in answer[:20] and b"data: [DONE]" in answer and answer.endswith(b"0\r\n\r\n")
        return "complete" if done else "cut"

    @contextmanager
    def load(self, workers=6, tokens=48):
        """Keep streams coming while the block runs, half of the workers at each node first."""
        stop = threading.Event()
        names = list(self.transports)

        def work(number):
            order = names if number % 2 else names[::-1]
            while not stop.is_set():
                self.stream(order, tokens)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(workers)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    @contextmanager
    def held(self, node, count, tokens):
        """Keep `count` long streams in flight at one node; yields their outcomes, filled as they end."""
        found = []
        threads = [
            threading.Thread(target=lambda: found.append(self.stream([node], tokens))) for _ in range(count)
        ]
        for thread in threads:
            thread.start()
        try:
            yield found
        finally:
            for thread in threads:
                thread.join()

    def wait_for(self, streams, seconds=240):
        ends = time.monotonic() + seconds
        while sum(self.outcomes.values()) < streams:
            assert time.monotonic() < ends, self.outcomes
            threading.Event().wait(0.05)


def request(tokens):
    body = json.dumps(
        {
            "model": "small-chat",
            "messages": [{"role": "user", "content": "Count."}],
            "max_tokens": tokens,
            "ignore_eos": True,
            "stream": True,
        }
    ).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: node\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Content-Type: application/json\r\nConnection: close\r\n\r\n" + body


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    ready = os.environ.get("MACFLEET_DRAIN_FLEET")
    if ready:
        yield Fleet(Path(ready))
        return
    root = tmp_path_factory.mktemp("drain")
    lab = root / ".macfleet" / "lab"
    config = LabConfig(lab, nodes=2, name="macfleet-draintest", subnet="172.28.94.0/24")
    up(config, print)
    try:
        options = ("--name", config.name, "--subnet", config.subnet, "--state-dir", str(lab))
        made = subprocess.run(
            [sys.executable, "-m", "macfleet", "lab", "fleet", str(root), *options],
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, made.stderr
        fleet = Fleet(root)
        fleet.run("enrol", "-l", "all")
        fleet.run("contract", "freeze")
        fleet.run("image", "pin")
        fleet.run("apply", "playbooks/site.yml")
        for stage in ("stage1", "stage2", "stage3"):
            fleet.run("rollout", stage)
        yield fleet
    finally:
        down(config, print)


@pytest.fixture
def served(fleet):
    fleet.back()
    yield fleet
    fleet.back()


@pytest.fixture
def client(served):
    client = Client(served)
    yield client
    client.close()


def test_no_stream_is_cut_while_a_node_drains_and_comes_back(served, client):
    with client.load():
        client.wait_for(STREAMS // 4)
        said = served.run("drain", "mac-01", "--reason", "a fan's noise")
        assert "0 requests cut" in said
        before = client.served["mac-01", "complete"]
        client.wait_for(sum(client.outcomes.values()) + STREAMS // 4)
        assert client.served["mac-01", "complete"] == before
        served.run("undrain", "mac-01")
        client.wait_for(STREAMS)
    assert client.outcomes["complete"] >= STREAMS
    assert set(client.outcomes) == {"complete"}
    assert client.served["mac-01", "refused"] > 0
    assert client.served["mac-01", "complete"] > before


def test_no_stream_is_cut_while_a_rollout_works_on_one_node_after_the_other(served, client):
    for node in served.addresses:
        served.edit(node)
    with client.load():
        client.wait_for(STREAMS // 10)
        said = served.run("rollout", "stage3")
        client.wait_for(sum(client.outcomes.values()) + STREAMS // 10)
    assert "2 nodes changed" in said
    assert "Drained 2 nodes" in said
    assert set(client.outcomes) == {"complete"}
    for node in served.addresses:
        assert client.served[node, "refused"] > 0
        found = served.status(node)
        assert (found["state"], found["serving"], found["disagrees"]) == ("active", True, "")


def test_a_rollout_killed_while_it_drains_is_resumed_without_cutting_what_it_waited_for(served, client):
    served.edit("mac-01")
    with client.held("mac-01", 1, 100_000) as streams:
        served.until("mac-01", lambda row: row["in_flight"] == 1)
        first = served.start("rollout", "stage3", "-l", "mac-01")
        # Its store says draining before the node is announced and closed: the node's own rule tells.
        served.until("mac-01", lambda row: row["ports"] and all(port["closed"] for port in row["ports"]))
        first.send_signal(signal.SIGKILL)
        first.communicate()
        found = served.status("mac-01")
        assert (found["state"], found["serving"], found["reason"]) == ("draining", False, "rollout layout")
        said = served.run("rollout", "stage3", "--resume", served.newest_run())
    assert streams == ["complete"]
    assert "1 node changed" in said
    assert "Drained 1 node" in said
    found = served.status("mac-01")
    assert (found["state"], found["serving"]) == ("active", True)


def test_the_last_ready_node_is_refused_and_left_as_it_is(served):
    served.run("drain", "mac-01")
    said = served.run("drain", "mac-02", code=7)
    assert "E0871" in said
    assert served.status("mac-02")["state"] == "active"
    assert served.status("mac-02")["serving"] is True


def test_two_operators_do_not_break_the_guard_together(served):
    both = [served.start("drain", node) for node in ("mac-01", "mac-02")]
    for process in both:
        process.communicate(timeout=120)
    assert sorted(process.returncode for process in both) == [0, 7]


def test_two_operators_who_share_no_database_do_not_break_the_guard_together(served, tmp_path):
    other = Fleet(
        shutil.copytree(served.root, tmp_path / "other", ignore=shutil.ignore_patterns(".macfleet"))
    )
    (other.root / ".macfleet").mkdir()
    shutil.copy(served.root / ".macfleet" / "known_hosts", other.root / ".macfleet")
    both = [served.start("drain", "mac-01"), other.start("drain", "mac-02")]
    for process in both:
        process.communicate(timeout=120)
    # Who sees the other gives way, which may be both.
    assert sorted(process.returncode for process in both) in ([0, 7], [7, 7])
    for fleet in (served, other):
        assert {fleet.status(node)["state"] for node in served.addresses} in (
            {"active", "drained"},
            {"active"},
        )


def test_a_controller_killed_while_it_drains_is_followed_by_one_that_finishes(served, client):
    with client.held("mac-01", 1, 100_000) as streams:
        served.until("mac-01", lambda row: row["in_flight"] == 1)
        first = served.start("drain", "mac-01", "--reason", "ticket 4711")
        while "in flight" not in (line := first.stderr.readline()):
            assert line, "the drain ended before it waited"
        first.send_signal(signal.SIGKILL)
        first.communicate()
        assert served.status("mac-01")["state"] == "draining"
        said = served.run("drain", "mac-01")
    assert streams == ["complete"]
    assert "0 requests cut" in said
    found = served.status("mac-01")
    assert (found["state"], found["reason"], found["disagrees"]) == ("drained", "ticket 4711", "")


def test_the_deadline_cuts_nothing_unless_told_and_then_what_it_names(served, client):
    with client.held("mac-01", 2, 100_000) as streams:
        served.until("mac-01", lambda row: row["in_flight"] == 2)
        said = served.run("drain", "mac-01", "--deadline", "2s", code=7)
        assert "2 in flight" in said
        assert streams == []
        found = served.status("mac-01")
        assert (found["state"], found["serving"]) == ("cordoned", True)
        said = served.run("drain", "mac-01", "--deadline", "2s", "--on-deadline", "cancel")
    assert re.search(r"\b2 requests cut", said)
    assert streams == ["cut", "cut"]


def test_a_drained_node_stays_out_when_it_restarts(served):
    served.run("drain", "mac-01", "--reason", "ticket 4711")
    served.restart("mac-01")
    booted = "test -S .colima/default/docker.sock && launchctl print system/com.macfleet.colima | grep -q 'not run'"
    served.run("exec", "-l", "mac-01", "--deadline", "120", "--", f"until {booted}; do sleep 0.2; done")
    found = served.status("mac-01")
    assert (found["state"], found["serving"], found["disagrees"]) == ("drained", False, "")
    assert found["reason"] == "ticket 4711"
    assert all(way["closed"] for way in found["ports"])
    assert "drained before" in served.run("drain", "mac-01")
