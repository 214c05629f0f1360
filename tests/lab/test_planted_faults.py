"""Faults planted on a lab node and real traffic through the whole of stage 5: what the thresholds make of it."""

from __future__ import annotations

import re

import pytest
from planted import judged, measured, slow_disk

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def apart(serving, tmp_path_factory):
    """A twin of the serving fleet: what is recorded here is not that one's newest evidence."""
    return serving.twin(tmp_path_factory.mktemp("planted") / "fleet")


def test_a_slow_disk_in_the_container_arm_says_mounts_first(apart, nodes):
    with slow_disk(nodes, "mac-01"):
        column = measured(apart, "--duration", "8s", "--segments", "4")
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
