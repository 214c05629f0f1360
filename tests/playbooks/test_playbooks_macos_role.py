"""The shipped role that makes a Mac a server: what it sets, and what its variables leave alone."""

from dataclasses import replace
from pathlib import Path

import pytest
from fleet_texts import NODE, compiled, stage

ROOT = Path(__file__).parents[2]
ROLE = {str(path.relative_to(ROOT)): path.read_text() for path in (ROOT / "roles" / "macos").rglob("*.yml")}
SERVER = {"sleep": 0, "disksleep": 0, "displaysleep": 10, "womp": True}
AWAKE, LIMIT = "power_setting.all", "sysctl_limit.maxfiles"


def desired(tasks="", **variables):
    node = replace(NODE, variables={**NODE.variables, **variables})
    found = compiled(stage(tasks, head="  roles: [macos]\n", **ROLE), node).resources
    return {resource.address: resource for resource in found}


@pytest.mark.parametrize(
    ("variables", "power", "addresses"),
    [
        ({}, {**SERVER, "autorestart": True}, [AWAKE, LIMIT]),
        ({"restart_after_power_failure": None}, SERVER, [AWAKE, LIMIT]),
        ({"sleep_minutes": 30, "open_files": 0}, {**SERVER, "sleep": 30, "autorestart": True}, [AWAKE]),
    ],
)
def test_a_mac_stays_awake_and_holds_connections_as_far_as_its_variables_say(variables, power, addresses):
    found = desired(**variables)
    assert sorted(found) == addresses
    assert found[AWAKE].desired() == power


def test_what_launchd_starts_waits_for_the_limit_it_is_to_have():
    task = "- launchd_service: {label: com.example.engine, program: [/usr/local/bin/serve]}"
    assert desired(task)["launchd_service.com.example.engine"].needs == (LIMIT,)
    assert desired(task, open_files=0)["launchd_service.com.example.engine"].needs == ()
