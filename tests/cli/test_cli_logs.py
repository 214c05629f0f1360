"""`logs` of runs whose nodes did not answer, and of one that broke off."""

import json

import pytest


def entries(out):
    return [json.loads(line) for line in out.splitlines()]


@pytest.fixture
def ran(run, fleet):
    """A fleet folder with one run in which no node answered."""
    assert run("rollout", "stage1")[0] == 5
    (recorded,) = (path.name for path in (fleet / ".macfleet/runs").iterdir())
    return recorded


def test_the_newest_runs_log_is_shown(run, ran):
    code, out, err = run("logs", "mac-01")
    assert (code, err) == (0, f"mac-01 in {ran}\n")
    assert "node.settled  outcome unreachable\n" in out
    assert "problem  E04" in out


def test_a_log_as_json_is_a_line_an_entry(run, ran):
    code, out, _ = run("logs", "mac-02", "--output", "json", "--run", ran)
    rows = entries(out)
    assert code == 0
    assert {(row["schema"], row["run"], row["node"]) for row in rows} == {(1, ran, "mac-02")}
    assert {row["kind"] for row in rows} == {"node.unplanned", "node.settled", "problem"}
    assert rows[-1]["output"]


def test_a_run_that_broke_off_has_its_log_and_entries_can_be_chosen(run, fleet):
    folder = fleet / ".macfleet/runs/20261123T041205Z-stage3-1a2b.partial/nodes/mac-01"
    folder.mkdir(parents=True)
    (folder / "log.txt").write_text(
        "2026-11-23T04:12:06.000Z  node.planned  pending 1\n"
        "2026-11-23T04:12:07.000Z  script  file./a, 3 probes · 0.50 s · exit 1\n"
        "    out| one\n    err| \x1b[2Jtwo\n"
        "2026-11-23T04:12:08.000Z  change.failed  address file./a\n"
    )
    _, out, err = run("logs", "mac-01")
    assert "20261123T041205Z-stage3-1a2b" in err
    assert "    out| one\n" in out
    assert "\x1b" not in out
    _, out, _ = run("logs", "mac-01", "--no-scripts", "-n", "1", "--run", "20261123T0412")
    assert out == "2026-11-23T04:12:08.000Z  change.failed  address file./a\n"
    _, out, _ = run("logs", "mac-01", "--output", "json")
    assert [row["output"] for row in entries(out)][1] == ["out| one", "err| \x1b[2Jtwo"]


@pytest.mark.parametrize(
    ("since", "shown"),
    [
        ("2026-11-23T04:12:07", 2),
        ("2026-11-23T04:12Z", 3),
        ("2026-11-23T06:12:07+02:00", 2),
        ("2026-11-23 04:13", 0),
        ("2026-11-23", 3),
        ("2999-01-01", 0),
        ("1s", 0),
        ("9999d", 3),
    ],
)
def test_entries_before_a_moment_are_left_out(run, fleet, since, shown):
    folder = fleet / ".macfleet/runs/20261123T041205Z-stage3-1a2b.partial/nodes/mac-01"
    folder.mkdir(parents=True)
    (folder / "log.txt").write_text(
        "".join(f"2026-11-23T04:12:0{second}.000Z  node.planned  pending 1\n" for second in (6, 7, 8))
    )
    if since == "1s":
        (folder / "log.txt").write_text("1999-01-01T00:00:00.000Z  node.planned  pending 1\n")
    code, out, _ = run("logs", "mac-01", "--since", since)
    assert (code, len(out.splitlines())) == (0, shown)


@pytest.mark.parametrize("since", ["yesterday", "2026-23-11", "2026-11-23T4", "99999999d"])
def test_a_moment_that_cannot_be_read_is_refused(run, fleet, since):
    code, _, err = run("logs", "mac-01", "--since", since)
    assert (code, "--since" in err, "2026-11-23T04:12" in err) == (2, True, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("mac-01",), "E0341"),
        (("mac-1",), 'did you mean "mac-01"?'),
        (("mac-01", "--run", "2020"), "E0950"),
    ],
)
def test_what_was_not_kept_is_said(run, fleet, arguments, says):
    code, out, err = run("logs", *arguments)
    assert (code, out) == (2, "")
    assert says in err
