"""Probes and steps of the plain kinds, run for real by dash and zsh with the lab's BSD stat."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import macfleet.lab
from macfleet.model.image import ResolvedImage
from macfleet.model.resource import Action, ProbeOutput, Put, compare
from macfleet.resources.archive import Archive
from macfleet.resources.block import Block
from macfleet.resources.brew_formula import BrewFormula
from macfleet.resources.colima_instance import ColimaInstance
from macfleet.resources.colima_settings import ColimaSettings
from macfleet.resources.command import Command
from macfleet.resources.compose_project import ComposeProject
from macfleet.resources.cron import Cron
from macfleet.resources.daemon import Daemon
from macfleet.resources.directory import Directory
from macfleet.resources.docker_image import DockerImage
from macfleet.resources.download import Download
from macfleet.resources.file import File
from macfleet.resources.firewall_rule import FirewallRule
from macfleet.resources.homebrew_tap import HomebrewTap
from macfleet.resources.launchd_service import LaunchdService
from macfleet.resources.line_in_file import LineInFile
from macfleet.resources.link import Link
from macfleet.resources.log_rotation import LogRotation
from macfleet.resources.mount_check import MountCheck
from macfleet.resources.power_setting import PowerSetting
from macfleet.resources.sysctl_limit import SysctlLimit
from macfleet.resources.user_default import UserDefault

BSD_STAT = Path(macfleet.lab.__file__).parent / "node" / "bsd" / "stat"
HOSTILE = 'it\'s a $(touch pwned) "day" *'


@pytest.fixture
def tools(tmp_path):
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "stat").write_bytes(BSD_STAT.read_bytes())
    (folder / "stat").chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(tmp_path)}


def sh(shell, script, tools):
    done = subprocess.run(
        [shutil.which(shell), "-c", script],
        env=tools,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return ProbeOutput(done.returncode, done.stdout, done.stderr)


def planned(resource, shell, tools):
    probe = resource.probe()
    return resource.change(probe.parse(sh(shell, probe.script, tools)))


def carry_out(resource, change, shell, tools):
    for step in resource.steps(change):
        if isinstance(step, Put):
            Path(step.path).write_bytes(step.content)
            Path(step.path).chmod(int(step.mode, 8))
        else:
            assert sh(shell, step.script, tools).exit == 0


@pytest.mark.parametrize("shell", ["dash", "zsh"])
@pytest.mark.parametrize(
    "make",
    [
        lambda folder: Directory(f"{folder}/{HOSTILE}/deeper", mode="0750"),
        lambda folder: File(f"{folder}/{HOSTILE}", b"some bytes\0\xff", mode="0640"),
        lambda folder: Command("mark", f"touch '{folder}/made'", creates=f"{folder}/made"),
        lambda folder: Command("mark", f"touch '{folder}/made'", unless=f"test -e '{folder}/made'; exit $?"),
    ],
    ids=["directory", "file", "command creates", "command unless"],
)
def test_blank_is_created_then_nothing_is_left_to_do(make, shell, tools, tmp_path):
    resource = make(tmp_path)
    created = planned(resource, shell, tools)
    assert created.action is Action.CREATE
    carry_out(resource, created, shell, tools)
    assert planned(resource, shell, tools).action is Action.NOOP
    assert not list(tmp_path.rglob("pwned"))


@pytest.mark.parametrize("shell", ["dash", "zsh"])
def test_a_chmod_by_hand_is_seen_and_mended(shell, tools, tmp_path):
    resource = File(str(tmp_path / "x"), b"x", mode="0644")
    carry_out(resource, planned(resource, shell, tools), shell, tools)
    (tmp_path / "x").chmod(0o600)
    change = planned(resource, shell, tools)
    assert [(each.field, each.before, each.after) for each in change.fields] == [("mode", "0600", "0644")]
    carry_out(resource, change, shell, tools)
    assert planned(resource, shell, tools).action is Action.NOOP


@pytest.mark.parametrize("shell", ["dash", "zsh"])
def test_a_node_without_docker_is_blank_not_broken(shell, tools):
    image = ResolvedImage("r", "registry.example/r", "sha256:1", "sha256:2", "sha256:3", "linux/arm64", ())
    bare = {**tools, "PATH": "/usr/bin:/bin"}
    resources = (DockerImage("engine", image), ComposeProject("chat", "/a/c.yaml", ("engine",), "0"))
    assert [planned(each, shell, bare).action for each in resources] == [Action.CREATE, Action.CREATE]


@pytest.mark.parametrize("shell", ["dash", "zsh"])
def test_a_link_to_nowhere_is_not_taken_for_absent(shell, tools, tmp_path):
    (tmp_path / "x").symlink_to("/nowhere")
    assert planned(File(str(tmp_path / "x"), b"x"), shell, tools).reason
    assert planned(Directory(str(tmp_path / "x")), shell, tools).blocked


PARSERS = [
    Directory("/a"),
    File("/a", b""),
    BrewFormula("colima"),
    Command("c", "true", creates="/a"),
    ColimaInstance(ColimaSettings(2, 2**31, 2**34, ())),
    DockerImage(
        "e", ResolvedImage("r", "registry.example/r", "sha256:1", "sha256:2", "sha256:3", "linux/arm64", ())
    ),
    ComposeProject("chat", "/a", ("engine",), "0"),
    LaunchdService(Daemon("a.b", {"ProgramArguments": ["/bin/true"]})),
    Link("/a", "b"),
    LineInFile("/a", "x", "x", match="^x"),
    Block("/a", "b", "x", ("<", ">"), after="^y"),
    Download("/a", "https://files.example/a", "0" * 64),
    Archive("/a", "/b", "0" * 64, creates="/a/c"),
    UserDefault("com.example", "k", [1]),
    HomebrewTap("a/b", commit="1" * 40),
    PowerSetting("all", {"sleep": 0, "womp": True}),
    PowerSetting("battery", {"sleep": 0}),
    SysctlLimit("maxfiles", 1, 2),
    SysctlLimit("kern.maxfiles", 1),
    MountCheck("/a", ("apfs",), "/", "/dev/disk1", owners=True, free=1),
    LogRotation("a", b"x"),
    Cron("a", "@daily x"),
    FirewallRule("a", ("block return in quick",)),
]
WORDS = st.sampled_from(
    ["absent", "engine ", "plist ", "@list", "@applied", "@socket", "@end", "loaded", "linked ", "\n", "|", "file 0644 a:b", "file 1 1 0 0", "folder\nthere\n", "link b", "tapped ", "1" * 40, "<plist><array>", "</array></plist>", "{", "[", ":", "AC Power:\n", " sleep 0\n", " maxfiles 1 2\n", "yes\n", "/dev/disk1 1 1 1 1% /\n", "mounts\n", "/dev/disk1 on / (apfs)", "crontab\n", " # macfleet: a", "pf Enabled\n", "rule ", "state = running\n"]
)  # fmt: skip


@pytest.mark.parametrize("resource", PARSERS, ids=lambda resource: resource.kind)
@given(text=st.one_of(st.text(), st.lists(WORDS).map("".join)), status=st.sampled_from([0, 1, 127, 137]))
def test_whatever_a_node_prints_is_a_state_or_a_refusal(resource, text, status):
    try:
        actual = resource.probe().parse(ProbeOutput(status, text))
    except ValueError:
        return
    change = resource.change(actual)
    assert (
        change.action is not Action.NOOP
        or compare(resource.address, resource.desired(), actual).action is Action.NOOP
    )
