"""When each token came: small on disk, sealed with the run, and gone after a while without a broken seal."""

import json
import tarfile
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macfleet.model.diagnostic import MacfleetError
from macfleet.model.run import TokenLines
from macfleet.store.bundles import export_run, import_run
from macfleet.store.folder_runs import FolderRuns
from macfleet.store.signing import check_folder, sign_folder
from macfleet.store.token_events import with_times, write_token_events

RUN = "20261123T041205Z-stage5-1a2b"
ARM = "nodes/mac-01/bare"
EVENTS = f"{ARM}/events.parquet"
WHEN = "2026-12-24T00:00:00.000+00:00"
BEGAN = 10**15
SECOND = 10**9


def raw(writer, path, requests):
    """Write raw lines: by index, the moments of a request's tokens."""
    with writer.lines(path) as line:
        for index, moments in requests.items():
            gaps = [later - earlier for earlier, later in pairwise(moments)]
            line({"index": index, "first": moments[0], "gaps": gaps, "each": 1})


@pytest.fixture
def recorded(runs, manifest):
    """A sealed run with token events of two segments, and of an attempt that was put aside."""
    writer = runs.create(RUN)
    raw(writer, f"{ARM}/events-0-1-0.ndjson", {7: [BEGAN + 999]})
    raw(writer, f"{ARM}/events-0-1-1.ndjson", {0: [BEGAN - 5, BEGAN, BEGAN + SECOND], 1: [BEGAN + 3]})
    raw(writer, f"{ARM}/events-1-1-0.ndjson", {0: [BEGAN + 60 * SECOND, BEGAN + 61 * SECOND]})
    parts = [
        TokenLines(f"{ARM}/events-0-1-1.ndjson", "short×1", 0, BEGAN),
        TokenLines(f"{ARM}/events-1-1-0.ndjson", "short×1", 1, BEGAN + 60 * SECOND),
    ]
    writer.events(EVENTS, parts)
    writer.json("summary.json", {"schema": 1})
    writer.finish(manifest)
    return runs.folder(RUN)


def codes(found):
    return [each.code for each in found]


def test_each_token_has_its_time_since_the_window_of_its_segment_began(recorded):
    found = with_times(pl.scan_parquet(recorded / EVENTS)).collect()
    assert found.select("cell", "segment", "index", "event", "t_ns", "tokens").rows() == [
        ("short×1", 0, 0, 0, -5, 1),
        ("short×1", 0, 0, 1, 0, 1),
        ("short×1", 0, 0, 2, SECOND, 1),
        ("short×1", 0, 1, 0, 3, 1),
        ("short×1", 1, 0, 0, 0, 1),
        ("short×1", 1, 0, 1, SECOND, 1),
    ]


def test_raw_lines_are_gone_and_the_file_is_sealed_as_one_that_may_go(runs, recorded):
    assert sorted(path.name for path in (recorded / ARM).iterdir()) == ["events.parquet"]
    manifest = runs.manifest(RUN)
    assert set(manifest.files) == {EVENTS, "summary.json"}
    assert manifest.droppable == (EVENTS,)
    assert runs.verify(RUN) == ()


def test_a_segment_without_lines_is_left_out_and_without_any_there_is_no_file(tmp_path, runs):
    writer = runs.create(RUN)
    with writer.lines(f"{ARM}/events-0-1-0.ndjson"):
        pass
    empty = TokenLines(f"{ARM}/events-0-1-0.ndjson", "short×1", 0, BEGAN)
    absent = TokenLines(f"{ARM}/events-9-1-0.ndjson", "short×1", 9, BEGAN)
    writer.events(EVENTS, [empty, absent])
    assert not list(writer.partial.rglob("events*"))
    raw(writer, f"{ARM}/events-1-1-0.ndjson", {0: [BEGAN]})
    writer.events(EVENTS, [absent, TokenLines(f"{ARM}/events-1-1-0.ndjson", "short×1", 1, BEGAN)])
    assert pl.read_parquet(writer.partial / EVENTS)["segment"].to_list() == [1]


@given(
    st.lists(st.lists(st.integers(0, 10**12), min_size=1, max_size=20).map(sorted), min_size=1, max_size=9)
)
def test_any_moments_come_back_as_they_were(tmp_path_factory, requests):
    folder = tmp_path_factory.mktemp("events")
    lines = folder / "events-0-1-0.ndjson"
    with lines.open("w") as file:
        for index, moments in enumerate(requests):
            gaps = [later - earlier for earlier, later in pairwise(moments)]
            file.write(json.dumps({"index": index, "first": moments[0], "gaps": gaps, "each": None}) + "\n")
    part = TokenLines("", "short×1", 0, 77)
    assert write_token_events([(part, lines)], folder / "events.parquet")
    found = with_times(pl.scan_parquet(folder / "events.parquet")).collect()
    by_request = found.group_by("index", maintain_order=True).agg("t_ns").sort("index")["t_ns"].to_list()
    assert by_request == [[moment - 77 for moment in moments] for moments in requests]


def test_dropped_events_break_neither_seal_nor_signature_and_the_day_is_told(runs, recorded, key):
    sign_folder(recorded, key[0])
    runs.drop_token_events(RUN, WHEN)
    assert not (recorded / EVENTS).exists()
    assert runs.verify(RUN) == ()
    assert check_folder(recorded).problem is None
    assert runs.dropped(RUN) == {EVENTS: WHEN}
    assert not any(path.stat().st_mode & 0o222 for path in (recorded, *recorded.rglob("*")))
    runs.drop_token_events(RUN, "2030-01-01T00:00:00.000+00:00")
    assert runs.dropped(RUN) == {EVENTS: WHEN}


def test_events_that_somebody_else_removed_are_missing(runs, recorded):
    (recorded / ARM).chmod(0o755)
    (recorded / EVENTS).unlink()
    assert codes(runs.verify(RUN)) == ["E0954"]


def test_a_mark_excuses_nothing_that_was_not_sealed_as_droppable(runs, recorded):
    recorded.chmod(0o755)
    (recorded / "summary.json").unlink()
    (recorded / "dropped.json").write_text(json.dumps({"schema": 1, "files": {"summary.json": WHEN}}))
    assert runs.dropped(RUN) == {}
    assert codes(runs.verify(RUN)) == ["E0954"]


def test_events_that_are_still_there_are_compared_whatever_a_mark_says(runs, recorded):
    recorded.chmod(0o755)
    (recorded / "dropped.json").write_text(json.dumps({"schema": 1, "files": {EVENTS: WHEN}}))
    (recorded / EVENTS).chmod(0o644)
    (recorded / EVENTS).write_bytes(b"PAR1 other")
    assert codes(runs.verify(RUN)) == ["E0953"]


def test_a_bundle_of_a_run_without_its_events_is_whole_elsewhere_too(tmp_path, runs, recorded, key):
    sign_folder(recorded, key[0])
    runs.drop_token_events(RUN, WHEN)
    export_run(runs, RUN, tmp_path / "run.tar")
    elsewhere = FolderRuns(tmp_path / "elsewhere")
    bundle = import_run(elsewhere, tmp_path / "run.tar", who="ops", when=WHEN)
    assert bundle.signed.problem is None
    assert elsewhere.verify(RUN) == ()
    assert elsewhere.dropped(RUN) == {EVENTS: WHEN}


def test_a_bundle_that_lacks_events_without_saying_so_is_refused(tmp_path, runs, recorded):
    export_run(runs, RUN, tmp_path / "run.tar")
    short = tmp_path / "short.tar"
    with tarfile.open(tmp_path / "run.tar") as whole, tarfile.open(short, "w") as cut:
        for member in whole:
            if not member.name.endswith(EVENTS):
                cut.addfile(member, whole.extractfile(member))
    with pytest.raises(MacfleetError) as caught:
        import_run(FolderRuns(tmp_path / "elsewhere"), short, who="ops", when=WHEN)
    assert codes(caught.value.diagnostics) == ["E0954"]


def test_a_token_takes_about_four_bytes(tmp_path):
    # Gaps of 25 ms that vary by a millisecond, as an engine on a quiet machine sends them.
    lines, tokens = tmp_path / "events-0-1-0.ndjson", 0
    with lines.open("w") as file:
        for index in range(400):
            gaps = [25_000_000 + (index * 7919 + event * 104_729) % 1_000_003 for event in range(199)]
            row = {"index": index, "first": BEGAN + index * 10**7, "gaps": gaps, "each": 1}
            file.write(json.dumps(row) + "\n")
            tokens += 200
    write_token_events([(TokenLines("", "short×4", 0, BEGAN), lines)], tmp_path / "events.parquet")
    assert (tmp_path / "events.parquet").stat().st_size < 4 * tokens
