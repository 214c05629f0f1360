"""What `--diff` shows of each kind that changes text, as it was looked at; secrets stay three asterisks."""

from pathlib import Path

import pytest

from macfleet.engine import make_plan
from macfleet.engine.observe import Observation
from macfleet.model.secret import Secret
from macfleet.resources.block import Block
from macfleet.resources.compose_project import ComposeProject
from macfleet.resources.cron import Cron
from macfleet.resources.daemon import Daemon
from macfleet.resources.file import File
from macfleet.resources.launchd_service import LaunchdService
from macfleet.resources.line_in_file import LineInFile
from macfleet.resources.link import Link
from macfleet.resources.log_rotation import LogRotation
from macfleet.resources.sysctl_limit import SysctlLimit
from macfleet.resources.user_default import UserDefault
from macfleet.rollout.differences import of_changes
from macfleet.rollout.result import NodeOutcome, NodeResult
from macfleet.testing import LocalTransport
from macfleet.testing.golden import golden
from macfleet.testing.mac import FakeMac
from macfleet.views.redaction import Redactor

MARKERS = ("# BEGIN limits", "# END limits")
BEFORE = "first\n# BEGIN limits\nfiles = 1\nkept\n# END limits\nlast\n"
TIMER = Daemon("com.example.sweep", {"ProgramArguments": ["/bin/true"], "StartInterval": 900}, running=False)


@pytest.fixture
def mac(tmp_path):
    return FakeMac(LocalTransport(tmp_path))


def shown(mac, resource, actual):
    """Return the difference of one resource whose state was read as `actual`."""
    plan = make_plan("mac-01", [resource], Observation({resource.address: actual}))
    changes = {change.address: change for change in plan.pending}
    found = of_changes([resource] if changes else [], changes, mac, nonce=lambda: "abc")
    return {address.replace(str(mac.home), "HOME"): text for address, text in found.items()}


def kinds(home):
    """Return a resource of each kind that changes text, with the state it finds."""
    path, compose = str(home / "engine.conf"), str(home / "compose.yaml")
    return [
        (File(path, b"first\nsecond\n"), {"type": "file", "sha256": "0" * 64, "mode": "0644"}),
        (Block(path, "limits", "files = 9\nkept", MARKERS), {"block": "another", "anchors": 0}),
        (Block(path, "limits", "", MARKERS), {"block": "another", "anchors": 0}),
        (LineInFile(path, "port = 2", "port"), {"line": "port = 1", "others": 0, "anchors": 0}),
        (Link(str(home / "models"), "/Volumes/b"), {"type": "link", "target": "/Volumes/a"}),
        (UserDefault("com.apple.dock", "apps", ["a", "b"]), {"type": "array", "value": '["a"]'}),
        (Cron("sweep", "0 3 * * * /bin/true"), {"line": "0 4 * * * /bin/true"}),
        (Cron("sweep", "", absent=True), {"line": "0 4 * * * /bin/true"}),
        (LaunchdService(TIMER, kind="launchd_timer"), None),
        (SysctlLimit("maxfiles", 65536, 65536), None),
        (LogRotation("engine", b"/var/log/engine.log 644 7 * $D0 J\n"), None),
        (ComposeProject("chat", compose, ("engine",), "c0ffee"), None),
    ]


def test_each_kind_that_changes_text_shows_what_goes_and_what_comes(mac):
    told = []
    for resource, actual in kinds(mac.home):
        (mac.home / "engine.conf").write_text(BEFORE)
        for address, text in shown(mac, resource, actual).items():
            told += ["", address, *(f"  {line}" for line in text.replace(str(mac.home), "HOME").splitlines())]
    golden(Path(__file__).parent / "golden" / "differences-kinds.txt", "\n".join(told[1:]))


def test_a_block_of_a_file_that_not_everybody_may_read_is_not_shown(mac):
    (mac.home / "engine.conf").write_text(BEFORE)
    (mac.home / "engine.conf").chmod(0o600)
    block = Block(str(mac.home / "engine.conf"), "limits", "files = 9", MARKERS)
    assert list(shown(mac, block, {"block": "another", "anchors": 0}).values()) == [
        "not shown: not everybody may read it"
    ]


@pytest.mark.parametrize("number", range(12))
def test_a_secret_in_any_of_them_stays_three_asterisks(mac, number):
    resource, actual = kinds(mac.home)[number]
    (mac.home / "engine.conf").write_text(BEFORE)
    found = shown(mac, resource, actual)
    (text,) = found.values()
    secret = max((word for line in text.splitlines()[-4:] for word in line[1:].split()), key=len)
    redactor = Redactor()
    redactor.learn(Secret(secret))
    result = redactor.value(NodeResult("mac-01", NodeOutcome.PENDING, differences=found))
    assert "***" in str(result.differences)
    assert secret not in str(result.differences)
