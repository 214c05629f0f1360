"""One lab of two nodes for all acceptance tests, and the real command in a fleet folder of its own."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess

import pytest
from lab_fleet import ROOT, Fleet, Nodes, run_macfleet

# A second lab beside this one: MACFLEET_TEST_LAB="other 172.28.97.0/24".
NAME, SUBNET = os.environ.get("MACFLEET_TEST_LAB", "mftest 172.28.92.0/24").split()
STATE = ROOT / ".macfleet" / ("test-lab" if NAME == "mftest" else NAME)
LAB = ("--name", NAME, "--subnet", SUBNET, "--state-dir", str(STATE))
DURATION = "4s"


@pytest.fixture(scope="session")
def nodes():
    """The lab with blank nodes, gone at the end; MACFLEET_KEEP_LAB=1 takes the one that is there and leaves it."""
    keep = os.environ.get("MACFLEET_KEEP_LAB") == "1"
    STATE.parent.mkdir(exist_ok=True)
    with (STATE.parent / f"{NAME}.lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)  # another test session in this checkout waits its turn
        yield from _lab(keep=keep)


def _lab(*, keep):
    if not keep:
        run_macfleet(ROOT, "lab", "down", *LAB)
    up = run_macfleet(ROOT, "lab", "up", "--nodes", "2", *LAB)
    try:
        assert up.exit == 0, up.stderr
        found = Nodes(json.loads((STATE / "lab.json").read_text(encoding="utf-8")))
        for name in found.names:
            # In the node's own layer, as on a disk: a folder of the image below is copied by a rename.
            found.brewed(
                name,
                "[ -d ~/.colima ] || { cp -Rp ~/models ~/fresh && rm -rf ~/models && mv ~/fresh ~/models; }",
            )
        yield found
    finally:
        if not keep:
            run_macfleet(ROOT, "lab", "down", *LAB)


@pytest.fixture(scope="session")
def fleet(nodes, tmp_path_factory):
    """A fleet folder for the lab: enrolled, frozen, pinned, committed."""
    assert nodes.names
    folder = tmp_path_factory.mktemp("acceptance") / "fleet"
    made = run_macfleet(ROOT, "lab", "fleet", str(folder), *LAB)
    assert made.exit == 0, made.stderr
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    fleet = Fleet(folder, [])
    fleet("enrol", "-l", "all")
    fleet("contract", "freeze")
    fleet("image", "pin")
    fleet.commit("The lab's fleet")
    return fleet


@pytest.fixture(scope="session")
def rolled_out(fleet):
    """`rollout all` on nodes as they came up; what it said, whatever it ended with."""
    return fleet(
        "rollout", "all", "--yes", "--duration", DURATION, "--output", "json", exits=None, timeout=1500
    )


@pytest.fixture(scope="session")
def serving(fleet, rolled_out):
    """The fleet whose nodes serve: stages 1 to 4 done."""
    assert rolled_out.exit in (0, 7), rolled_out.stdout + rolled_out.stderr
    return fleet


@pytest.fixture
def spoilt(serving, tmp_path):
    """A twin of the serving fleet's folder, to be given wrong input."""
    return serving.twin(tmp_path / "fleet")


def pytest_collection_modifyitems(items):
    """Put the acceptance tests back into the order they are written in: they share two nodes."""
    places = [place for place, item in enumerate(items) if item.path.name.startswith("test_acceptance_")]
    ordered = sorted((items[place] for place in places), key=_written)
    for place, item in zip(places, ordered, strict=True):
        items[place] = item


def _written(item):
    indices = getattr(item, "callspec", None)
    return item.path.name, item.location[1], tuple(indices.indices.values()) if indices else ()
