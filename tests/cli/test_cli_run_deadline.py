"""No run is endless: its deadline stops it as Ctrl-C does."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from macfleet.cli.fleet import FleetContext
from macfleet.cli.interrupts import interrupts
from macfleet.model.diagnostic import MacfleetError


def fleet(folder: Path, *lines: str) -> FleetContext:
    (folder / "macfleet.yml").write_text("\n".join(("name: late", *lines)) + "\n")
    return FleetContext(folder)


def waiting() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name == "macfleet-run-deadline"]


def test_a_run_that_takes_longer_than_its_deadline_is_stopped_and_says_why(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    late = fleet(tmp_path, "run_deadline: 50ms")
    with interrupts(late, "macfleet apply --resume R") as stopped:
        assert late.stopped.wait(60)
        assert stopped()
    said = capfd.readouterr().err
    assert "its deadline (run_deadline in macfleet.yml): nothing new begins" in said
    late.close()


def test_nothing_waits_for_the_deadline_of_a_run_that_has_ended(tmp_path: Path) -> None:
    done = fleet(tmp_path)
    assert done.settings.run_deadline == 86400
    with interrupts(done, "") as stopped:
        assert waiting()
        assert not stopped()
    for each in threading.enumerate():
        if each.name == "macfleet-run-deadline":
            each.join(60)
    assert (waiting(), done.stopped.is_set()) == ([], False)


@pytest.mark.parametrize("value", ["0s", "-1s", "31d", ".inf", ".nan", "never"])
def test_a_deadline_that_is_none_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(MacfleetError) as caught:
        _ = fleet(tmp_path, f"run_deadline: {value}").settings
    assert [(each.code, str(each.where)) for each in caught.value.diagnostics] == [
        ("E0204", "macfleet.yml:2:15")
    ]
