"""A planted secret that a command really used over SSH is found nowhere: output, disk, processes."""

from __future__ import annotations

import base64
import getpass
import http.server
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pytest

SSHD = "/usr/sbin/sshd"
PLANTED = "pl/nted+s3cret=&for 'the' grep"
SPELLINGS = (
    PLANTED,
    base64.b64encode(PLANTED.encode()).decode(),
    quote(PLANTED, safe=""),
    json.dumps(PLANTED)[1:-1],
)
# Says on which descriptor and in which spelling a node would give the secret back.
_TELL_TALE = (
    'printf "%s\\n" "$TOKEN"; printf "%s" "$TOKEN" | base64; printf "x%s" "$TOKEN" | base64 >&2; '
    "printf '%s' \"$TOKEN\" >&2; sleep 0.1; echo ' end' >&2"
)


class Fleet:
    """A fleet folder with one node that answers."""

    def __init__(self, root, port):
        self.root = root
        (root / "macfleet.yml").write_text("name: hushed\n")
        (root / "inventory").mkdir()
        (root / "inventory/hosts.yml").write_text(
            "all:\n"
            f"  vars: {{ansible_user: {getpass.getuser()}, ansible_ssh_private_key_file: {root}/identity}}\n"
            "  hosts:\n"
            f"    mac-01: {{ansible_host: 127.0.0.1, ansible_port: {port}, hardware: h, ownership: owned}}\n"
        )

    def start(self, *arguments, environ=None):
        source = Path(__file__).parents[2] / "src"
        return subprocess.Popen(
            [sys.executable, "-m", "macfleet", *arguments],
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": str(source), "HOME": str(self.root), **(environ or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments):
        process = self.start(*arguments)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    def log(self):
        return (self.root / "sshd.log").read_text()


@pytest.fixture
def reached(tmp_path):
    if not Path(SSHD).exists() or shutil.which("ssh-keygen") is None:
        pytest.skip("no OpenSSH server here: apt-get install openssh-server")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    for key in ("host_key", "identity"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / key], check=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path}/host_key\nPidFile none\nLogLevel DEBUG2\n"
        f"AuthorizedKeysFile {tmp_path}/identity.pub\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n"
    )
    with (tmp_path / "sshd.log").open("wb") as log:
        server = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", tmp_path / "sshd_config"], stderr=log, start_new_session=True
        )
    made = Fleet(tmp_path, port)
    wait_until(lambda: "Server listening" in made.log())
    made.run("enrol", "mac-01")
    keep = tmp_path / "kept"
    keep.mkdir()
    (keep / "token").write_text(f"{PLANTED}\n")
    (keep / "token").chmod(0o600)
    yield made
    server.terminate()
    server.wait(10)


def wait_until(holds, seconds=30):
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "the condition did not come to hold"
        time.sleep(0.02)


def shows(text):
    return [spelling for spelling in SPELLINGS if spelling in text]


def processes(what):
    """Yield what /proc says of every process: its command line or its environment."""
    for path in Path("/proc").glob(f"[0-9]*/{what}"):
        with suppress(OSError):
            yield path, path.read_bytes().decode(errors="replace")


@pytest.mark.sshd
def test_a_secret_in_use_on_a_node_is_in_no_process_list_no_environment_no_output_and_no_file(reached):
    ready, go = reached.root / "ready", reached.root / "go"
    text = (
        f'{_TELL_TALE}; touch {ready}; while ! [ -e {go} ]; do sleep 0.05; done; printf %s "$TOKEN" | wc -c'
    )
    process = reached.start("exec", "--secret", "TOKEN=file:kept/token", "--", text)
    try:
        wait_until(lambda: ready.exists() or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        seen = [*processes("cmdline"), *processes("environ")]
        assert any(f"touch {ready}" in shown for _, shown in seen), "the command itself is in sight"
        assert not [path for path, shown in seen if shows(shown)]
    finally:
        go.touch()
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    # The node really had it: its length came back, and it said it in several spellings.
    assert out.split()[-1] == str(len(PLANTED))
    assert (out.count("***"), err.count("***")) == (2, 2)
    assert shows(out + err) == []
    assert shows(reached.log()) == []
    assert not [
        path for path in files_below(reached.root) if shows(path.read_bytes().decode(errors="replace"))
    ]


@pytest.mark.sshd
def test_json_output_and_a_failed_command_show_no_secret_either(reached):
    text = f"{_TELL_TALE}; exit 7"
    code, out, err = reached.run("exec", "--secret", "TOKEN=file:kept/token", "--output", "json", "--", text)
    (row,) = json.loads(out)["nodes"]
    assert (code, row["exit"], shows(out + err)) == (4, 7, [])
    assert row["stdout"].startswith("***\n***")


@pytest.mark.sshd
def test_a_variable_that_the_nodes_environment_has_is_not_handed_on_with_the_secret_in_it(reached):
    text = 'env | grep -c ^LOGNAME=; [ -n "$LOGNAME" ] && echo set'
    code, out, err = reached.run("exec", "--secret", "LOGNAME=file:kept/token", "--", text)
    assert (code, out) == (0, "mac-01 │ 0\nmac-01 │ set\n"), err


@pytest.mark.sshd
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--secret", "TOKEN", "--", "true"], "NAME=REF"),
        (["--secret", "a-b=env:X", "--", "true"], "NAME=REF"),
        (["--secret", "TOKEN=file:kept/token", "--", "echo", "$TOKEN"], "one word of shell text"),
        (["--secret", "TOKEN=file:kept/nothing", "--", "true"], "E1202"),
        (["--secret", f"TOKEN={shlex.quote(PLANTED)}", "--", "true"], "E1201"),
    ],
)
def test_a_secret_that_cannot_be_had_stops_before_any_node_is_asked(reached, arguments, said):
    code, out, err = reached.run("exec", *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert shows(err) == []


@pytest.mark.sshd
def test_a_secret_file_that_others_may_read_is_used_with_a_warning(reached):
    (reached.root / "kept/token").chmod(0o644)
    code, out, err = reached.run(
        "exec", "--secret", "TOKEN=file:kept/token", "--", 'printf %s "$TOKEN" | wc -c'
    )
    assert (code, out.split()[-1]) == (0, str(len(PLANTED)))
    assert "warning[E1206]" in err
    assert "chmod 600" in err


class Echo(http.server.BaseHTTPRequestHandler):
    """A registry that wants a login and gives it back as the type of a manifest."""

    def do_GET(self):
        given = self.headers.get("Authorization", "")
        login = base64.b64decode(given.removeprefix("Basic ")).decode()
        reason = f"{given} is {login} or {quote(login, safe='')}"
        body = json.dumps({"schemaVersion": 2, "mediaType": reason}).encode()
        self.send_response(200 if given else 401)
        if not given:
            self.send_header("WWW-Authenticate", 'Basic realm="echo"')
        self.send_header("Content-Type", "application/vnd.oci.image.manifest.v1+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Keep quiet."""


@pytest.fixture
def echo():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_registry_that_gives_the_password_back_shows_it_to_nobody(tmp_path, echo):
    fleet = Fleet(tmp_path, 1)
    (tmp_path / "images.yml").write_text(
        f"images:\n  engine: {{reference: '{echo}/engine:v1'}}\n"
        f"registries:\n  '{echo}': {{plain_http: true, user: ops, password: env:PLANTED}}\n"
    )
    process = fleet.start("image", "resolve", f"{echo}/engine:v1", environ={"PLANTED": PLANTED})
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (7, "")
    assert "ops:***" in err, "the registry's reason is shown"
    pair = base64.b64encode(f"ops:{PLANTED}".encode()).decode()
    assert pair[8:-4] not in err
    assert shows(err) == []


def test_every_password_that_cannot_be_had_is_reported_with_its_registry(tmp_path):
    fleet = Fleet(tmp_path, 1)
    (tmp_path / "images.yml").write_text(
        "images:\n  engine: {reference: 'a.example/engine:v1'}\n"
        "registries:\n  a.example: {user: ops, password: env:NO_SUCH}\n"
        "  b.example: {user: ops, password: file:no-such}\n"
    )
    code, _, err = fleet.run("image", "pin")
    assert code == 2
    assert err.count("E0626") == 2
    assert all(name in err for name in ("a.example", "NO_SUCH", "b.example", "no-such"))


def test_a_command_that_asks_no_registry_wants_no_password(fleet, run):
    with (fleet / "images.yml").open("a") as images:
        images.write("registries:\n  registry.example: {user: ops, password: env:NO_SUCH}\n")
    assert run("rollout", "status")[0] == 0
    # Nodes that do not answer are asked all the same: no password stands in the way of that.
    for words in (("rollout", "stage1"), ("rollout", "stage3", "--check"), ("apply", "playbooks/site.yml")):
        code, _, err = run(*words)
        assert (code, "E0626" in err) == (5, False), err
    code, _, err = run("image", "verify")
    assert (code, "E0626" in err) == (2, True)


def files_below(root):
    return [path for path in root.rglob("*") if path.is_file() and path != root / "kept/token"]


def test_the_password_in_the_address_of_the_state_is_shown_by_nobody(fleet, run, monkeypatch):
    monkeypatch.setenv("MACFLEET_STATE", "postgresql://ops:pa%24s-word@127.0.0.1:1/fleet")
    for words, code in ((("inventory", "show", "--settings"), 0), (("history",), 1)):
        ended, out, err = run(*words)
        assert (ended, "***" in out + err) == (code, True)
        assert ("pa%24s-word" in out + err, "pa$s-word" in out + err) == (False, False)
