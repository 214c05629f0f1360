import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macfleet.model.diagnostic import MacfleetError
from macfleet.store.folder_runs import FolderRuns
from macfleet.store.folder_writer import document_text
from macfleet.testing.runs import LOAD_TEST
from macfleet.testing.synthetic import SyntheticArm, synthetic_run

MANIFEST = replace(
    LOAD_TEST,
    contract="c" * 64,
    sent="5" * 64,
    profile={"segment": 15.0, "judged": ["short×1"]},
    simulated=("mac",),
)


@pytest.fixture
def runs(tmp_path):
    return FolderRuns(tmp_path / "runs")


@pytest.fixture
def recorded(runs):
    run = synthetic_run([SyntheticArm("bare")], cells=["short×1"], segments=1, seconds=10)
    writer = runs.create(MANIFEST.id)
    writer.json("summary.json", {"b": 1, "a": "ä"})
    writer.text("nodes/mac-01/logs/engine.log", "hello\n")
    for name in ("samples", "raw-0"):
        with writer.lines(f"nodes/mac-01/bare/{name}.ndjson") as write:
            for sample in run.samples:
                write(sample.document())
    writer.samples("nodes/mac-01/bare/samples.parquet", run.samples)
    writer.series("nodes/mac-01/series.parquet", [*run.series, {"t_wall_ns": 1, "gpu_watts": 3.5}])
    writer.finish(MANIFEST)
    return run


def test_a_finished_run_is_read_back_as_it_was_written(runs, recorded):
    manifest = runs.manifest(MANIFEST.id)
    assert replace(manifest, files={}) == MANIFEST
    assert sorted(manifest.files) == [
        "nodes/mac-01/bare/samples.parquet",
        "nodes/mac-01/logs/engine.log",
        "nodes/mac-01/series.parquet",
        "summary.json",
    ]
    assert runs.document(MANIFEST.id, "summary.json") == {"a": "ä", "b": 1}
    assert runs.ids() == (MANIFEST.id,)
    assert runs.verify(MANIFEST.id) == ()


def test_parquet_holds_every_request_and_every_column_a_recorder_added(runs, recorded):
    samples = runs.samples(MANIFEST.id, "nodes/mac-01/bare/samples.parquet").collect()
    assert samples.height == len(recorded.samples)
    assert samples.get_column("t_send").to_list() == [sample.t_send for sample in recorded.samples]
    series = runs.samples(MANIFEST.id, "nodes/mac-01/series.parquet").collect()
    assert series.get_column("gpu_watts").to_list()[-1] == 3.5
    assert series.get_column("host_used_pct").to_list()[-1] is None


def test_a_run_has_its_final_name_only_when_it_is_sealed(runs):
    writer = runs.create(MANIFEST.id)
    writer.text("a.txt", "a")
    assert (runs.ids(), runs.unfinished()) == ((), (MANIFEST.id,))
    with pytest.raises(MacfleetError, match="never finished"):
        runs.manifest(MANIFEST.id)
    writer.finish(MANIFEST)
    assert (runs.ids(), runs.unfinished()) == ((MANIFEST.id,), ())


def test_an_interrupted_run_goes_on_with_the_lines_it_has(runs):
    path = "nodes/mac-01/bare/samples.ndjson"
    for number in (1, 2):
        with runs.create(MANIFEST.id).lines(path) as write:
            write({"n": number})
    runs.create(MANIFEST.id).finish(MANIFEST)
    raw = (runs.folder(MANIFEST.id) / path).read_text().splitlines()
    assert [json.loads(line) for line in raw] == [{"n": 1}, {"n": 2}]


def test_a_line_is_in_the_file_before_the_next_one_is_written(runs):
    writer = runs.create(MANIFEST.id)
    with writer.lines("raw.ndjson") as write:
        write({"n": 1})
        assert (writer.partial / "raw.ndjson").read_text() == '{"n":1}\n'


def test_a_sealed_run_is_read_only_and_cannot_be_written_again(runs, recorded):
    folder = runs.folder(MANIFEST.id)
    assert all(not path.stat().st_mode & 0o222 for path in (folder, *folder.rglob("*")))
    assert stat.S_ISDIR(folder.stat().st_mode)
    with pytest.raises(MacfleetError) as caught:
        runs.create(MANIFEST.id)
    assert caught.value.diagnostics[0].code == "E0951"


@pytest.mark.parametrize(
    "path", ["nodes/mac-01/bare/samples.parquet", "nodes/mac-01/logs/engine.log", "summary.json"]
)
def test_one_flipped_bit_is_found_and_the_file_named(runs, recorded, path):
    file = runs.folder(MANIFEST.id) / path
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.chmod(0o644)
    file.write_bytes(content)
    (found,) = runs.verify(MANIFEST.id)
    assert found.code == "E0953"
    assert path in found.summary


def test_missing_and_added_files_are_named_together(runs, recorded):
    folder = runs.folder(MANIFEST.id)
    folder.chmod(0o755)
    (folder / "summary.json").unlink()
    (folder / "extra.txt").write_text("x")
    assert [each.code for each in runs.verify(MANIFEST.id)] == ["E0955", "E0954"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema_version": 2}, "schema 2"),
        ({"colour": "red"}, "colour"),
        ({"nodes": "mac-01"}, "nodes"),
        ({"id": "other"}, "describes run other"),
    ],
)
def test_a_manifest_of_another_shape_is_refused(runs, recorded, change, words):
    file = runs.folder(MANIFEST.id) / "manifest.json"
    document = json.loads(file.read_text()) | change
    file.chmod(0o644)
    file.write_text(json.dumps(document))
    with pytest.raises(MacfleetError) as caught:
        runs.manifest(MANIFEST.id)
    assert caught.value.diagnostics[0].code == "E0952"
    assert words in caught.value.diagnostics[0].why


@pytest.mark.parametrize("run_id", ["", "..", "../x", "a/b", ".hidden", "x.partial"])
def test_an_id_that_is_no_folder_name_is_refused(runs, run_id):
    with pytest.raises(MacfleetError):
        runs.create(run_id)


@pytest.mark.parametrize("path", ["/etc/passwd", "../outside", "a/../../b"])
def test_nothing_is_written_outside_the_run(runs, path):
    with pytest.raises(ValueError, match="leaves the run folder"):
        runs.create(MANIFEST.id).text(path, "x")


def test_an_unknown_run_and_an_unknown_file_say_so(runs, recorded):
    with pytest.raises(MacfleetError, match="there is no run nothing"):
        runs.manifest("nothing")
    with pytest.raises(MacfleetError, match=r"plan\.json is missing"):
        runs.document(MANIFEST.id, "plan.json")


LATER = "20261123T051205Z-stage5-3c4d"


@pytest.fixture
def broken_off(runs):
    """A run that broke off, and one that went on with it and broke off as well."""
    for run, resumes in ((MANIFEST.id, ""), (LATER, MANIFEST.id)):
        writer = runs.create(run)
        writer.json("nodes/mac-01/begun.json", {"resumes": resumes})
        with writer.lines("nodes/mac-01/bare/raw-0-1-0.ndjson") as line:
            line({"index": 1})
    runs.create(LATER).json("nodes/mac-02/begun.json", {"resumes": ""})
    return runs


def test_what_a_chain_of_runs_left_of_a_node_is_read_oldest_first(broken_off):
    found = broken_off.left(MANIFEST.id, "nodes/mac-01")
    assert list(found) == [MANIFEST.id, LATER]
    assert found[LATER]["bare/raw-0-1-0.ndjson"] == '{"index":1}\n'
    assert list(broken_off.left(LATER, "nodes/mac-01")) == [LATER]
    assert broken_off.left(MANIFEST.id, "nodes/mac-03") == {}


def test_what_a_sealed_run_left_is_read_only_while_it_is_what_was_recorded(broken_off):
    broken_off.create(MANIFEST.id).finish(MANIFEST)
    assert list(broken_off.left(MANIFEST.id, "nodes/mac-01")) == [MANIFEST.id, LATER]
    file = broken_off.folder(MANIFEST.id) / "nodes/mac-01/bare/raw-0-1-0.ndjson"
    file.chmod(0o644)
    file.write_text('{"index":2}\n')
    with pytest.raises(MacfleetError) as caught:
        broken_off.left(MANIFEST.id, "nodes/mac-01")
    (found,) = caught.value.diagnostics
    assert found.code == "E0953"
    assert "raw-0-1-0.ndjson" in found.summary


def test_a_node_of_a_run_that_broke_off_is_taken_over_whole(broken_off):
    writer = broken_off.create("20261123T061205Z-stage5-5e6f")
    writer.adopt(LATER, "nodes/mac-01")
    writer.finish(replace(MANIFEST, id=writer.id))
    assert sorted(broken_off.manifest(writer.id).files) == [
        "nodes/mac-01/bare/raw-0-1-0.ndjson",
        "nodes/mac-01/begun.json",
    ]
    assert broken_off.verify(writer.id) == ()


def test_what_was_forced_to_disk_once_is_not_forced_again_when_the_run_is_sealed(runs, monkeypatch):
    forced = []
    force = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (forced.append(inode(handle)), force(handle)))
    writer = runs.create(MANIFEST.id)
    nodes = [f"mac-{number:02}" for number in range(20)]
    for node in nodes:
        writer.append(f"nodes/{node}/log.txt", "script\n")
        writer.json(f"nodes/{node}/facts.json", {"node": node})
    writer.text("notes.txt", "begun\n")
    writer.append("notes.txt", "ended\n")
    folder = Path(writer.finish(MANIFEST))
    everything = [folder, *folder.rglob("*")]
    # Every file and every list of names; what was appended to after it was written, twice.
    again = inode_of(folder / "notes.txt")
    assert sorted(forced) == sorted([*map(inode_of, everything), again, inode_of(folder.parent)])


def test_documents_have_a_line_for_each_entry_of_each_entry_and_equal_content_equal_bytes():
    document = {"b": [{"y": 1, "x": "ä"}, {}], "a": {"d": [1], "c": {"f": None, "e": 0.5}}, "e": {}, "n": []}
    text = document_text(document)
    assert text.splitlines() == [
        "{",
        ' "a": {',
        '  "c": {"e": 0.5, "f": null},',
        '  "d": [1]',
        " },",
        ' "b": [',
        '  {"x": "ä", "y": 1},',
        "  {}",
        " ],",
        ' "e": {},',
        ' "n": []',
        "}",
    ]
    assert json.loads(text) == document
    assert text == document_text(dict(reversed(document.items())))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_every_document_is_read_back_as_it_was(document):
    assert json.loads(document_text(document)) == document


def inode(handle):
    return os.fstat(handle).st_ino


def inode_of(path):
    return path.stat().st_ino
