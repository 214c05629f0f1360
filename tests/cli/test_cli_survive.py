"""Real controllers over real OpenSSH: interrupted, killed, cut off, and gone on with."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from macfleet.lab.thin import thin_down, thin_inventory, thin_up
from macfleet.model.diagnostic import MacfleetError
from macfleet.views.event_kinds import faults

pytestmark = pytest.mark.sshd
MACFLEET = Path(sys.executable).with_name("macfleet")
# One short step and one that is left to the node; each leaves a line and waits until it is let go.
SITE = """
- name: What takes its time
  stage: provision
  hosts: all
  tasks:
    - name: short
      command:
        run: 'echo short >>"$HOME/steps"; while [ ! -f "$HOME/short-may" ]; do sleep 0.1; done; : >"$HOME/short"'
        unless: '[ -f "$HOME/short" ]'
        limit: 29s
    - name: long
      command:
        run: 'echo long >>"$HOME/steps"; while [ ! -f "$HOME/long-may" ]; do sleep 0.1; done; : >"$HOME/long"'
        unless: '[ -f "$HOME/long" ]'
        limit: 10m
      needs: [command.short]
  gates:
    - converged: {}
"""


@dataclass
class Site:
    """A fleet folder whose only node is a real SSH server with a home of its own."""

    folder: Path
    home: Path
    started: list

    def start(self, *arguments):
        """Start macfleet as a terminal would: in a process group of its own."""
        process = subprocess.Popen(
            [MACFLEET, *arguments],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def run(self, *arguments):
        """Run macfleet to its end; return exit code and both outputs."""
        return ended(self.start(*arguments))

    @property
    def steps(self):
        path = self.home / "steps"
        return path.read_text().split() if path.exists() else []

    @property
    def jobs(self):
        return sorted(path.name for path in (self.home / ".macfleet/jobs").glob("*"))

    @property
    def unfinished(self):
        """Id of the run that was never recorded."""
        return next(word for word in self.run("run", "list")[1].split() if "-site-" in word)

    def let(self, name):
        (self.home / f"{name}-may").touch()

    def at(self, name, process):
        """Wait until a step runs; a controller that ended before that is shown."""
        wait_until(lambda: name in self.steps or process.poll() is not None)
        assert process.poll() is None, process.communicate()

    def processes(self, command):
        """Ids of the node's processes whose command line holds a text."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                ours = f"HOME={self.home}".encode() in (path / "environ").read_bytes().split(b"\0")
                words = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if ours and command in words:
                found.append(int(path.name))
        return found


def ended(process):
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def wait_until(holds, seconds=30):
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "the condition did not come to hold"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("thin")
    try:
        yield thin_up(folder, 1, lambda _: None)
    except MacfleetError as error:
        pytest.skip(str(error))
    finally:
        thin_down(folder, lambda _: None)


@pytest.fixture
def site(lab, made, tmp_path):
    folder = tmp_path / "fleet"
    shutil.copytree(made, folder)
    (folder / "inventory/hosts.yml").write_text(thin_inventory(lab))
    for path in (folder / "inventory/host_vars").glob("*"):
        path.unlink()
    (folder / "playbooks/site.yml").write_text(SITE)
    (folder / "images.yml").write_text("images: {}\n")
    (folder / "weights.lock").unlink(missing_ok=True)
    (node,) = lab.nodes
    home = Path(node.home)
    shutil.rmtree(home)
    home.mkdir()
    site = Site(folder, home, [])
    yield site
    for name in ("short", "long"):
        site.let(name)
    for process in site.started:
        if not process.stdout.closed:
            process.kill()
            process.communicate()


APPLY = ("apply", "playbooks/site.yml")


def resume_line(text):
    return text.partition("macfleet apply playbooks/site.yml --resume ")[2].split()[0]


def test_ctrl_c_ends_a_steps_process_group_gives_the_lock_back_and_says_how_to_go_on(site):
    process = site.start(*APPLY)
    site.at("short", process)
    process.send_signal(signal.SIGINT)
    code, out, err = ended(process)
    assert code == 130, (out, err)
    assert "Stopping: nothing new begins" in err
    assert "interrupted" in out
    # Left alone it would go on for half a minute; what ended it takes two seconds at most itself.
    wait_until(lambda: site.processes("/bin/sh") == [], seconds=10)
    assert not (site.home / ".macfleet/lock").exists()
    run = resume_line(out)
    assert "command short" in site.run("run", "show", run)[1]
    site.let("short")
    site.let("long")
    code, out, err = site.run(*APPLY, "--resume", run)
    assert code == 0, (out, err)
    # It was ended amid its work, so it ran once more; the other had not begun.
    assert site.steps == ["short", "short", "long"]


def test_ctrl_c_leaves_a_detached_step_going_and_going_on_collects_it(site):
    site.let("short")
    process = site.start(*APPLY)
    site.at("long", process)
    wait_until((site.home / ".macfleet/jobs" / site.jobs[0] / "status").exists)
    process.send_signal(signal.SIGINT)
    code, out, err = ended(process)
    assert code == 130, (out, err)
    (job,) = site.jobs
    assert job in out
    assert "Goes on detached" in out
    assert "in the air, detached as job" in site.run("run", "show", resume_line(out))[1]
    code, held, err = site.run(*APPLY)
    assert code == 6, (held, err)
    assert resume_line(out) in held
    site.let("long")
    assert site.run(*APPLY, "--resume", resume_line(out))[0] == 0
    assert (site.steps, site.jobs) == (["short", "long"], [])
    assert not (site.home / ".macfleet/lock").exists()


def test_ctrl_c_twice_leaves_at_once_and_says_so_among_the_events(site):
    process = site.start(*APPLY, "--output", "ndjson")
    site.at("short", process)
    process.send_signal(signal.SIGINT)
    events = iter(lambda: json.loads(process.stdout.readline()), None)
    stopping = next(event for event in events if event["kind"] == "run.stopping")
    assert list(faults(stopping)) == []
    process.send_signal(signal.SIGINT)
    code, out, err = ended(process)
    assert code == 130, (out, err)
    run = site.unfinished
    for line in out.splitlines():
        if '"run.abandoned"' in line:
            assert list(faults(json.loads(line))) == []
            assert f"--resume {run}" in line
    site.let("short")
    site.let("long")
    assert site.run(*APPLY, "--resume", run)[0] == 0
    assert site.run(*APPLY)[0] == 0


@pytest.mark.parametrize("step", ["short", "long"])
def test_a_killed_controller_is_gone_on_with_and_no_step_runs_twice(site, step):
    if step == "long":
        site.let("short")
    process = site.start(*APPLY)
    site.at(step, process)
    process.kill()
    process.communicate()
    resumed = site.start(*APPLY, "--resume", site.unfinished)
    wait_until(lambda: (site.home / ".macfleet/lock/next").exists() or step == "long")
    site.let("short")
    site.let("long")
    code, out, err = ended(resumed)
    assert code == 0, (out, err)
    assert (site.steps, site.jobs) == (["short", "long"], [])
    assert not (site.home / ".macfleet/lock").exists()


def test_a_store_that_fails_amid_a_run_is_said_and_the_run_is_gone_on_with(site):
    process = site.start(*APPLY)
    site.at("short", process)
    run = site.unfinished
    with closing(sqlite3.connect(site.folder / ".macfleet/state.db", timeout=60)) as store:
        store.execute("ALTER TABLE journal RENAME TO away")
        site.let("short")
        code, out, err = ended(process)
        assert (code, "Traceback" in err) == (1, False), (out, err)
        assert "E0598" in err
        assert "state.db failed" in " ".join(err.split())
        assert "--resume" in err
        store.execute("ALTER TABLE away RENAME TO journal")
    site.let("long")
    code, out, err = site.run(*APPLY, "--resume", run)
    assert code == 0, (out, err)
    assert site.steps == ["short", "long"]


def test_a_cut_connection_is_opened_again_and_the_detached_step_followed(site):
    site.let("short")
    process = site.start(*APPLY)
    site.at("long", process)
    (job,) = site.jobs
    wait_until((site.home / ".macfleet/jobs" / job / "beat").exists)
    for pid in servers_of(site):
        os.kill(pid, signal.SIGKILL)
    site.let("long")
    code, out, err = ended(process)
    assert code == 0, (out, err)
    assert (site.steps, site.jobs) == (["short", "long"], [])


def test_drift_says_what_differs_and_changes_nothing(site):
    before = sorted(site.home.rglob("*"))
    code, out, err = site.run("drift", "--output", "json")
    document = json.loads(out)
    assert (code, document["exit_code"]) == (3, 3), err
    (node,) = document["nodes"]
    assert [each["address"] for each in node["plan"]["pending"]] == ["command.short", "command.long"]
    assert (node["changed"], sorted(site.home.rglob("*"))) == ([], before)
    for name in ("short", "long"):
        (site.home / name).touch()
    code, out, _ = site.run("drift")
    assert (code, "nothing to change" in out) == (0, True)


def servers_of(site):
    """Ids of the SSH server's processes that serve the node's connections."""
    parents = {
        int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        for pid in site.processes("/bin/sh -s")
    }
    return [pid for pid in parents if b"sshd" in Path(f"/proc/{pid}/cmdline").read_bytes()]
