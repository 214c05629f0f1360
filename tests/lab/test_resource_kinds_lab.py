"""Files, lines, downloads, archives, preferences and taps on a lab node: done once, seen by BSD's own tools."""

import gzip
import hashlib
import http.server
import io
import tarfile
import threading
import zipfile
from functools import partial

import pytest

pytestmark = pytest.mark.lab
PLANTED = "planted-in-the-lab-0815"
HOME = "/Users/ops/kinds"
COMMIT = "1111111111111111111111111111111111111111"
PLAY = "- {name: Every plain kind, stage: provision, hosts: mac-01, roles: [kinds]}\n"
TASKS = """\
- directory: {path: HOME/deep, mode: "0750", owner: "ops:staff"}
- file: {path: HOME/deep/key, content_secret: "env:PLANTED", STATE}
- link: {path: "HOME/it's linked", target: deep, STATE}
- line_in_file: {path: HOME/conf, line: "Port 22 & \\\\1", match: "^Port[[:space:]]", STATE}
- block: {path: HOME/conf, name: limits, block: "a 'b' $c\\n\\n  d", before: "^Match", STATE}
- line_in_file: {path: /etc/zshenv, line: "# a line of macfleet", create: true, become: true, STATE}
- download: {url: "URL/engine.tgz", http: true, path: HOME/engine.tgz, sha256: "TGZ", STATE}
- user_default: {domain: com.example.kinds, key: limits, value: {slots: [1, 0.5, true, "x"]}, STATE}
- user_default: {domain: com.example.kinds, key: here, value: 2, type: float, host: current, STATE}
- user_default: {domain: /Library/Preferences/com.example.kinds, key: all, value: false, become: true, STATE}
- homebrew_tap: {name: team/tools, url: "https://git.example/tools", commit: "COMMIT", STATE}
"""
ARCHIVES = """\
- archive: {to: HOME/engine, path: HOME/engine.tgz, sha256: "TGZ", strip: 1, creates: HOME/engine/bin/serve}
- archive: {to: HOME/tools, source: tools.zip, owner: "root:wheel", become: true}
"""
SEEN = f"""\
cd {HOME}
stat -f '%N %Mp%Lp %Su:%Sg' deep deep/key conf engine/bin/serve tools/t/tool /etc/zshenv
readlink "it's linked"; cat conf; tail -n 1 /etc/zshenv; engine/bin/serve
defaults read-type com.example.kinds limits; defaults -currentHost read-type com.example.kinds here
defaults read /Library/Preferences/com.example.kinds all
git -C /opt/homebrew/Library/Taps/team/homebrew-tools rev-parse HEAD
ls -A /tmp | grep macfleet; find {HOME} -name '.macfleet.*'
"""
EXPECTED = f"""\
deep 0750 ops:staff
deep/key 0600 ops:staff
conf 0640 ops:staff
engine/bin/serve 0755 ops:staff
tools/t/tool 0644 root:wheel
/etc/zshenv 0644 root:wheel
deep
# BEGIN macfleet limits
a 'b' $c

  d
# END macfleet limits
Match all
Port 22 & \\1
# a line of macfleet
it serves
Type is dictionary
Type is float
0
{COMMIT}
"""


def engine():
    """A release with one top folder, as they are published."""
    out, text = io.BytesIO(), b"#!/bin/sh\necho it serves\n"
    with tarfile.open(fileobj=out, mode="w") as archive:
        entry = tarfile.TarInfo("engine-1/bin/serve")
        entry.size, entry.mode = len(text), 0o755
        archive.addfile(entry, io.BytesIO(text))
    return gzip.compress(out.getvalue(), mtime=0)


def tools():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        entry = zipfile.ZipInfo("t/tool")
        entry.external_attr = 0o644 << 16
        archive.writestr(entry, "x")
    return out.getvalue()


@pytest.fixture
def site(nodes, tmp_path):
    """The URL of a folder that the node can fetch from."""
    (tmp_path / "web").mkdir()
    (tmp_path / "web/engine.tgz").write_bytes(engine())
    gateway = f"{nodes.address('mac-01').rpartition('.')[0]}.1"
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = http.server.ThreadingHTTPServer((gateway, 0), partial(quiet, directory=tmp_path / "web"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{gateway}:{server.server_port}"
    server.shutdown()
    server.server_close()


def wanted(fleet, site, tasks, state):
    digest = hashlib.sha256(engine()).hexdigest()
    said = {"HOME": HOME, "URL": site, "TGZ": digest, "COMMIT": COMMIT, "STATE": f"state: {state}"}
    for name, text in said.items():
        tasks = tasks.replace(name, text)
    fleet.write("roles/kinds/tasks/main.yml", tasks)


def test_every_plain_kind_is_brought_about_once_and_taken_away_again(
    fleet, nodes, site, tmp_path, monkeypatch
):
    monkeypatch.setenv("PLANTED", PLANTED)
    twin = fleet.twin(tmp_path / "fleet")
    for folder in ("tasks", "files"):
        (twin.folder / "roles/kinds" / folder).mkdir(parents=True)
    (twin.folder / "roles/kinds/files/tools.zip").write_bytes(tools())
    twin.write("playbooks/site.yml", PLAY)
    nodes.brewed("mac-01", f"mkdir -p {HOME}; printf 'Match all\\n' > {HOME}/conf; chmod 640 {HOME}/conf")
    try:
        wanted(twin, site, TASKS + ARCHIVES, "present")
        twin("apply", "playbooks/site.yml")
        assert nodes.login("mac-01", SEEN).stdout == EXPECTED
        twin("drift", "playbooks/site.yml")
        traces = nodes.brewed("mac-01", f"grep -rl {PLANTED} ~/.macfleet /tmp || true")
        held = [path for path in twin.folder.rglob("*") if path.is_file()]
        spelled = {PLANTED.encode(), hashlib.sha256(PLANTED.encode()).hexdigest().encode()}
        assert traces == ""
        assert not [path for path in held for text in spelled if text in path.read_bytes()]
        wanted(twin, site, TASKS, "absent")
        twin("apply", "playbooks/site.yml")
        assert nodes.brewed("mac-01", f"cat {HOME}/conf; ls -A {HOME}/deep") == "Match all\n"
    finally:
        nodes.login("mac-01", f"sudo -n rm -rf {HOME}")
