"""The tools of the benchmark: how each is asked for the same nine files and three facts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import paramiko
import yaml

from macfleet.lab.thin import ThinLab, thin_inventory

HERE = Path(__file__).parent
ROOT = HERE.parent
PEERS = ROOT / ".peers" / "bin"
_LIMIT = 300.0
"""Seconds a command may take."""
_LAST_WORDS = 5.0
MACFLEET = str(Path(sys.executable).with_name("macfleet"))


@dataclass(frozen=True, slots=True)
class Site:
    """Everything the tools need to reach some nodes at some ports.

    Attributes:
        folder: inventories for each tool, and a short path for Ansible's control sockets.
        fleet: the fleet folder.
    """

    folder: Path
    fleet: Path
    nodes: int


@dataclass(frozen=True, slots=True)
class Call:
    """A command as it is run; `quiet` stands in its output when nothing was changed, if anything does."""

    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)


def make_fleet(folder: Path) -> Path:
    """Return a fresh fleet folder whose site.yml is the benchmark's."""
    fleet = folder / "fleet"
    run([MACFLEET, "init", str(fleet)], folder)
    shutil.copy(HERE / "fleet" / "site.yml", fleet / "playbooks" / "site.yml")
    (fleet / "images.yml").write_text("images: {}\n")
    (fleet / "weights.lock").unlink(missing_ok=True)
    run([MACFLEET, "contract", "freeze"], fleet)
    return fleet


def make_site(folder: Path, fleet: Path, lab: ThinLab, ports: Sequence[int]) -> Site:
    """Write the inventories of all tools; `ports` has the port to use for each node."""
    folder.mkdir(parents=True)
    document = yaml.safe_load(thin_inventory(lab))
    known, ansible, pyinfra = [], {}, []
    for node, port in zip(lab.nodes, ports, strict=False):
        document["all"]["children"]["serving"]["hosts"][node.name]["ansible_port"] = port
        key = paramiko.Ed25519Key.from_private_key_file(str(Path(node.home).parent / "host_key"))
        known.append(f"[127.0.0.1]:{port} {key.get_name()} {key.get_base64()}\n")
        cache = f"{node.home}/cache"
        Path(cache).mkdir(exist_ok=True)
        ansible[node.name] = {"ansible_port": port, "cache": cache}
        row = {"ssh_hostname": "127.0.0.1", "ssh_port": port, "ssh_user": lab.user, "ssh_key": lab.key}
        row |= {"ssh_known_hosts_file": str(folder / "known_hosts"), "cache": cache}
        pyinfra.append((node.name, row))
    hosts = document["all"]["children"]["serving"]["hosts"]
    for node in lab.nodes[len(ports) :]:
        del hosts[node.name]
    (folder / "known_hosts").write_text("".join(known))
    (folder / "macfleet.yml").write_text(yaml.safe_dump(document, sort_keys=False))
    (folder / "ansible.yml").write_text(yaml.safe_dump(_ansible(lab, folder, ansible)))
    (folder / "pyinfra_hosts.py").write_text(f"hosts = {pyinfra!r}\n")
    return Site(folder, fleet, len(ports))


def macfleet(site: Site, revision: int, *, change: bool) -> Call:
    """`plan` where nothing is to change, `apply` where something is."""
    playbook = site.fleet / "playbooks" / "site.yml"
    text = (HERE / "fleet" / "site.yml").read_text().replace('revision: "1"', f'revision: "{revision}"')
    if playbook.read_text() != text:
        playbook.write_text(text)
    verb = "apply" if change else "plan"
    return Call([MACFLEET, verb, "playbooks/site.yml", "-i", str(site.folder / "macfleet.yml")], site.fleet)


def pyinfra(site: Site, revision: int) -> Call:
    """Plan and apply in one command, which is how pyinfra is used."""
    inventory, deploy = str(site.folder / "pyinfra_hosts.py"), str(HERE / "pyinfra" / "deploy.py")
    options = ["-y", "--parallel", str(site.nodes), "--data", f"revision={revision}"]
    return Call([str(PEERS / "pyinfra"), *options, inventory, deploy], site.folder)


def ansible(site: Site, revision: int, *, mitogen: bool = False) -> Call:
    """ansible-playbook with a fork a node; with Mitogen's strategy, or with ControlPersist and pipelining."""
    env = {
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(site.folder / "cp"),
        "ANSIBLE_LOCALHOST_WARNING": "False",
    }
    if mitogen:
        found = sorted(PEERS.parent.glob("lib/python*/site-packages/ansible_mitogen/plugins/strategy"))
        env |= {"ANSIBLE_STRATEGY_PLUGINS": str(found[0]), "ANSIBLE_STRATEGY": "mitogen_linear"}
    options = [
        "-i",
        str(site.folder / "ansible.yml"),
        "--forks",
        str(site.nodes),
        "-e",
        f"revision={revision}",
    ]
    playbook = str(HERE / "ansible" / "site.yml")
    return Call([str(PEERS / "ansible-playbook"), *options, playbook], site.folder, env)


def floor(lab: ThinLab, ports: Sequence[int]) -> Call:
    """Bare paramiko: connect and one exec."""
    return Call([sys.executable, str(HERE / "floor.py"), lab.key, *map(str, ports)], HERE)


def versions() -> dict[str, str]:
    """Return the peers' versions."""
    listed = json.loads(run([str(PEERS / "pip"), "list", "--format", "json"], ROOT))
    wanted = ("ansible-core", "mitogen", "pyinfra")
    return {row["name"]: row["version"] for row in listed if row["name"] in wanted}


def surroundings(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a call: every tool may keep its compiled modules, as an installed one has."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, **(env or {})}


def run(argv: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None, stdin: bytes = b"") -> str:
    """Run a command to its end and return stdout; stops the table with what it said when it fails."""
    try:
        return _ended(argv, cwd, env, stdin)
    except NoFigureError as error:
        raise SystemExit(f"{' '.join(argv[:6])} {error}") from error


def seconds(call: Call) -> float:
    """Return how long one of ours takes; stops the table when it fails."""
    began = time.perf_counter()
    run(call.argv, call.cwd, call.env)
    return time.perf_counter() - began


def seconds_of_peer(call: Call, limit: float = _LIMIT) -> float:
    """Return how long a peer takes, with whatever it leaves behind ended (else NoFigureError)."""
    began = time.perf_counter()
    try:
        _ended(call.argv, call.cwd, call.env, b"", limit)
        return time.perf_counter() - began
    finally:
        for process in _left_by(call):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)


class NoFigureError(Exception):
    """A command that failed or did not end, in words that go into a table."""


def _ended(
    argv: Sequence[str], cwd: Path, env: Mapping[str, str] | None, stdin: bytes, limit: float = _LIMIT
) -> str:
    pipe = subprocess.PIPE
    with subprocess.Popen(
        argv, cwd=cwd, env=surroundings(env), stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
    ) as process:
        try:
            stdout, stderr = process.communicate(stdin, timeout=limit)
        except BaseException as error:
            _end_group(process)
            if isinstance(error, subprocess.TimeoutExpired):
                raise NoFigureError(f"did not end in {limit:.0f} s") from error
            raise
    if process.returncode != 0:
        said = (stderr or stdout).decode(errors="replace")[-3000:]
        print(f"{argv[0]} said:\n{said}", file=sys.stderr, flush=True)
        raise NoFigureError(f"ended with {process.returncode}")
    return stdout.decode(errors="replace")


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End a command with its children; the group is the command's own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_LAST_WORDS)


def _left_by(call: Call) -> Iterator[int]:
    """Yield processes of other sessions that name the call's folder: ControlPersist's masters."""
    for folder in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            words = (folder / "cmdline").read_bytes().decode(errors="replace")
            if folder.name != str(os.getpid()) and f"{call.cwd}/cp" in words:
                yield int(folder.name)


def _ansible(lab: ThinLab, folder: Path, hosts: Mapping[str, Mapping[str, object]]) -> object:
    shared = {
        "ansible_host": "127.0.0.1",
        "ansible_user": lab.user,
        "ansible_ssh_private_key_file": lab.key,
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={folder / 'known_hosts'}",
        # Named, so that no time goes into looking for one.
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    return {"all": {"children": {"serving": {"vars": shared, "hosts": dict(hosts)}}}}
