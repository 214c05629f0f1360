"""Faults planted on a lab node and real traffic through the whole of stage 5: what the thresholds make of it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

pytestmark = pytest.mark.lab

SLOW_DISK = Path(__file__).with_name("slow_disk.py")
WEIGHTS = "/Users/ops/models"
HEALTH = "curl -sf --max-time 3 http://127.0.0.1:8080/health"
# Each read through the VM's mount takes 3.5 ms more, and twice a second the page cache is gone, as it is where
# the weights are larger than the container's memory: the engine waits for its weights about 40 % of the time.
DELAY, FORGET = "0.0035", "0.5"
# What a machine that is busy with other work does to the load client; it says nothing about the fault.
BUSY = re.compile(r"the client's own loop was|the client used|the client was given no CPU")


def as_root_in_vm(nodes, name, script):
    """Run a script in the node's VM as its root."""
    inside = f"PATH=/usr/sbin:/usr/bin:/sbin:/bin; {script}"
    entered = "/opt/linux-real/bin/nsenter -t $(cat /run/vm/pid) -m -n -p -u -- /usr/bin/dash -c "
    return nodes.docker("exec", nodes.container(name), "sh", "-c", entered + shlex.quote(inside))


@pytest.fixture(scope="module")
def apart(serving, tmp_path_factory):
    """A twin of the serving fleet: what is recorded here is not that one's newest evidence."""
    return serving.twin(tmp_path_factory.mktemp("planted") / "fleet")


@pytest.fixture
def slow_disk(apart, nodes):
    """The first node whose VM reads the weights from a slow disk; the node itself does not."""
    nodes.until("mac-01", HEALTH)
    nodes.docker("cp", str(SLOW_DISK), f"{nodes.container('mac-01')}:/opt/lab/slow_disk.py")
    started = (
        f"setsid python3 /opt/lab/slow_disk.py {WEIGHTS} {DELAY} {FORGET} </dev/null >/tmp/slow.log 2>&1 &"
    )
    mounted = f"until grep -q '^slow {WEIGHTS} fuse' /proc/mounts; do sleep 0.1; done"
    as_root_in_vm(nodes, "mac-01", f"{started} timeout 30 dash -c {shlex.quote(mounted)}")
    try:
        yield apart
    finally:
        as_root_in_vm(nodes, "mac-01", f"umount -l {WEIGHTS}")
        nodes.brewed("mac-01", "docker restart chat-engine-1")
        nodes.until("mac-01", HEALTH)


def measured(fleet, *options):
    """Measure the first node and return its column of the comparison; a machine that is busy proves nothing."""
    said = fleet(
        "rollout", "stage5", "--yes", "--again", "-l", "mac-01", *options, "--output", "json", exits=None
    )
    assert said.exit in (0, 7), said.stdout + said.stderr
    (column,) = fleet("compare", said.document["run"], "--output", "json").document["columns"]
    invalid = [why for cell in column["cells"] for why in cell["invalid"]]
    if invalid:
        assert any(BUSY.search(why) for why in invalid), invalid
        pytest.skip("this machine is too busy for its load client to be on time")
    return column


def judged(column, threshold):
    (found,) = [each for each in column["judgements"] if each["threshold"] == threshold]
    return found


def test_a_slow_disk_in_the_container_arm_says_mounts_first(slow_disk):
    column = measured(slow_disk, "--duration", "8s", "--segments", "4")
    found = judged(column, "mounts-first")
    assert found["outcome"] == "fail", found
    assert found["verdict"] == "fix mounts and cache paths before scaling the model"
    told = " · ".join(found["reasons"])
    assert re.search(r"tokens/s of container against bare: −\d+ %", told), told
    assert re.search(r"storage proof: bind is \d+ % below native, line 30 %", told), told
    assert any(name.endswith("nodes/mac-01/storage.json") for name in found["evidence"])


def test_too_short_is_inconclusive_and_says_how_many_minutes_more(apart):
    column = measured(apart, "--duration", "4s")
    found = judged(column, "mounts-first")
    assert (found["outcome"], found["minutes"] > 0) == ("inconclusive", True)
    assert re.search(r"mounts-first: inconclusive: \d+ more minutes", apart("compare", column["run"]).text)
