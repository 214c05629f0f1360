"""Files of other load generators, made by hand after what their makers document.

GuideLLM: its schemas `GenerativeBenchmark` and `GenerativeRequestStats` (0.8). AIPerf: "profile_export_aiperf.json
Schema" 1.5 and "Working with Profile Export Files". vLLM: `benchmarks/serve.py` (0.32). llm-d: Benchmark Report 0.2.1.
"""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macfleet.analysis.summaries import parse_summary
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.run import RunManifest
from macfleet.store.imports import KINDS, NOT_OUR_CLIENT, UNKNOWN_REQUESTS, Target, read_import, record_import
from macfleet.store.imports_guidellm import TO_THE_CLOSE, WITHOUT_FAILED
from macfleet.store.imports_reading import Values
from macfleet.store.imports_vllm import ROLE_CHUNK

FILES = Path(__file__).parent / "imports"
HEAD = RunManifest(
    id="20261123T050000Z-imported-1a2b",
    kind="",
    stage="",
    contract="",
    sent="",
    git_commit="abc",
    git_dirty=False,
    nodes=(),
    arms=(),
    vantage="",
    started="2026-11-23T05:00:00Z",
    finished="2026-11-23T05:00:00Z",
    who="ops",
    why="",
    client_version="",
)
TARGET = Target("mac-01", "bare", "short")


@pytest.fixture
def imported(runs):
    """Import one of the files; its manifest and its cells by name."""

    def run(file, target=TARGET, kind=""):
        manifest = record_import(runs, read_import(FILES / file, kind), target, HEAD)
        cells = parse_summary(runs.document(manifest.id, "summary.json"))
        return manifest, {cell.cell: cell for cell in cells}

    return run


@pytest.fixture
def refusal(tmp_path):
    """Read text as a file; the codes and reasons it is refused with."""

    def read(text, kind=""):
        file = tmp_path / "result.json"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(MacfleetError) as caught:
            read_import(file, kind)
        return [(each.code, f"{each.summary} {each.why}") for each in caught.value.diagnostics]

    return read


def test_guidellm_with_every_request_ends_where_ours_ends(imported):
    manifest, cells = imported("guidellm.json")
    cell = cells["short×4"]
    assert cell.p50.value == pytest.approx(0.92), "to the last token, not to the close"
    assert cell.p95.value == math.inf, "two of four requests failed"
    assert (cell.n, cell.ok, cell.errors) == (4, 2, 0.5)
    assert cell.outcomes == {"ok": 2, "failed": 1, "censored": 1}
    assert cell.ttft_p50.value == pytest.approx(0.220)
    assert cell.itl_p50.value == pytest.approx(0.020)
    assert cell.tokens_per_second.value == 88.5
    assert manifest.started == "2026-11-23T02:52:05.000+00:00"
    assert manifest.client_version == "GuideLLM 0.8.1"


def test_guidellm_without_its_requests_says_what_its_percentiles_mean(imported):
    _, cells = imported("guidellm.json")
    cell = cells["short@2.5/s"]
    assert (cell.concurrency, cell.n, cell.p95.value, cell.ttft_p95.value) == (0, 150, 1.4, 0.25)
    assert cell.p95.low is None, "a bare percentile has no interval"
    assert {TO_THE_CLOSE, WITHOUT_FAILED} <= set(cell.invalid)


def test_an_aiperf_summary_is_read_by_its_units(imported):
    manifest, cells = imported("aiperf.json")
    cell = cells["short×4"]
    assert (cell.n, cell.ok, cell.errors) == (100, 98, 0.02)
    assert (cell.p50.value, cell.p95.value) == (pytest.approx(0.846), pytest.approx(0.910))
    assert (cell.tokens_per_second.value, cell.qps, cell.minutes) == (52.3, 1.63, 1.0)
    assert (manifest.client_version, manifest.started) == ("AIPerf 0.13.0", "2026-11-23T04:12:05.000+00:00")


def test_aiperf_records_leave_warm_up_out_and_count_failures_as_infinitely_slow(imported):
    _, cells = imported("aiperf.jsonl", replace(TARGET, concurrency=1))
    cell = cells["short×1"]
    assert cell.outcomes == {"ok": 1, "failed": 1, "censored": 1}
    assert (cell.p50.value, cell.ttft_p50.value) == (math.inf, math.inf)
    assert cell.itl_p50.value == pytest.approx(0.020)
    assert cell.tokens_per_second.value == pytest.approx(32 / 4)


def test_vllm_names_the_role_chunk_and_takes_the_gap_from_each_request(imported):
    manifest, cells = imported("vllm.json")
    cell = cells["short×1"]
    assert (cell.n, cell.ok, cell.ttft_p50.value) == (3, 2, 0.0025)
    assert cell.p50.value == pytest.approx(0.8325)
    assert cell.itl_p50.value == pytest.approx(0.82 / 31)
    assert ROLE_CHUNK in cell.invalid
    assert (manifest.started, manifest.finished) == (
        "2026-11-23T04:12:05.000+00:00",
        "2026-11-23T04:13:05.000+00:00",
    )


def test_what_vllm_was_not_asked_for_is_missing_and_said_so(tmp_path, runs):
    document = json.loads((FILES / "vllm.json").read_text())
    for name in ("ttfts", "itls", "output_lens", "errors"):
        del document[name]
    file = tmp_path / "plain.json"
    file.write_text(json.dumps(document))
    manifest = record_import(runs, read_import(file), TARGET, HEAD)
    (cell,) = parse_summary(runs.document(manifest.id, "summary.json"))
    assert math.isnan(cell.p95.value)
    assert cell.ttft_p50.value == pytest.approx(0.0024)
    assert "end to end: the file has no p50, p95" in cell.invalid
    assert "first token: the file has no p95" in cell.invalid


def test_results_appended_to_one_file_are_cells_of_one_run(tmp_path, runs):
    document = json.loads((FILES / "vllm.json").read_text())
    lines = [json.dumps({**document, "max_concurrency": streams}) for streams in (1, 4)]
    file = tmp_path / "appended.json"
    file.write_text("\n".join(lines) + "\n")
    manifest = record_import(runs, read_import(file), TARGET, HEAD)
    assert [cell.cell for cell in parse_summary(runs.document(manifest.id, "summary.json"))] == [
        "short×1",
        "short×4",
    ]


def test_an_llmd_report_is_read_with_the_definitions_of_the_tool_behind_it(imported):
    manifest, cells = imported("llmd.yaml")
    cell = cells["short×4"]
    assert (cell.n, cell.ok) == (100, 97)
    assert (cell.p95.value, cell.ttft_p95.value) == (1.4, 0.25)
    assert cell.itl_p50.value == 0.02, "GuideLLM's time per output token has the first token in it"
    assert TO_THE_CLOSE in cell.invalid
    assert manifest.client_version == "llm-d with guidellm 0.8.1"


@pytest.mark.parametrize("file", ["guidellm.json", "aiperf.json", "vllm.json", "llmd.yaml"])
def test_an_imported_run_can_be_neither_judged_nor_signed_nor_picked(imported, runs, file):
    manifest, cells = imported(file)
    assert (manifest.kind, manifest.sent, manifest.short) == ("imported", "", True)
    assert all({UNKNOWN_REQUESTS, NOT_OUR_CLIENT} <= set(cell.invalid) for cell in cells.values())
    about = runs.document(manifest.id, "import.json")
    assert about["file"] == file
    assert len(about["sha256"]) == 64
    assert not runs.verify(manifest.id)


def test_a_load_that_nobody_names_is_asked_for(imported):
    with pytest.raises(MacfleetError) as caught:
        imported("aiperf.jsonl")
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.mend) == ("E1065", "Add --concurrency N, or --rate R for an open loop.")


def test_two_measurements_of_one_load_are_not_chosen_between(tmp_path, runs):
    document = json.loads((FILES / "guidellm.json").read_text())
    document["benchmarks"][1]["config"] = document["benchmarks"][0]["config"]
    file = tmp_path / "twice.json"
    file.write_text(json.dumps(document))
    with pytest.raises(MacfleetError) as caught:
        record_import(runs, read_import(file), TARGET, HEAD)
    assert caught.value.diagnostics[0].code == "E1066"
    assert runs.unfinished() == ()


HOSTILE = [
    ("", "E1062", ""),
    ("[]", "E1062", ""),
    ("{", "E1061", ""),
    (b"\xff\xfe{}", "E1061", ""),
    ('{"benchmarks": [], "benchmarks": []}', "E1061", "twice"),
    ('{"a":' * 100_000, "E1061", ""),
    ("a: &a [x]\nb: *a\n", "E1061", "aliases"),
    ('{"benchmarks": []}', "E1064", "GuideLLM"),
    ('{"benchmarks": 7}', "E1063", "list"),
    ('{"num_prompts": 1, "completed": NaN}', "E1063", "completed"),
    ('{"num_prompts": 1, "completed": Infinity}', "E1063", "finite"),
    ('{"num_prompts": 1, "completed": -1}', "E1063", "between"),
    ('{"num_prompts": 1, "completed": 1e300}', "E1063", "between"),
    ('{"num_prompts": 1, "completed": ' + "9" * 4000 + "}", "E1063", "between"),
    ('{"num_prompts": 1, "completed": true}', "E1063", "number"),
    ('{"num_prompts": 1, "completed": "2"}', "E1063", "number"),
    ('{"num_prompts": 1, "completed": 1.5}', "E1063", "whole"),
    ('{"request_count": {"avg": 1}, "request_latency": {"unit": "moons", "p50": 1}}', "E1063", "moons"),
]


@pytest.mark.parametrize(("text", "code", "word"), HOSTILE, ids=range(len(HOSTILE)))
def test_a_file_that_lies_is_refused_with_a_reason(refusal, text, code, word):
    found = refusal(text)
    assert found[0][0] == code
    assert word in found[0][1]


def test_every_problem_of_a_file_is_told_but_no_more_than_twenty(refusal):
    few = {"num_prompts": "3", "completed": "2", "duration": -1}
    assert len(refusal(json.dumps(few))) == 3
    many = {"num_prompts": 1, "completed": 1, "output_lens": [1] * 99, "errors": [""] * 99}
    many |= {"ttfts": ["x"] * 99, "itls": [[]] * 99}
    assert len(refusal(json.dumps(many))) == 20


def test_a_file_too_large_is_not_read(refusal, tmp_path, monkeypatch):
    monkeypatch.setattr("macfleet.store.imports_reading.LARGEST", 10)
    assert "10 are read at most" in refusal('{"benchmarks": []}')[0][1]


def test_a_missing_file_is_a_usage_error(tmp_path):
    with pytest.raises(MacfleetError) as caught:
        read_import(tmp_path / "nowhere.json")
    assert (caught.value.diagnostics[0].code, int(caught.value.exit_code)) == ("E1060", 2)


_KEYS = (
    *("benchmarks", "metrics", "requests", "successful", "num_prompts", "completed", "ttfts", "itls"),
    *("metadata", "request_latency", "unit", "p50", "results", "run", "version", "errors"),
)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(_KEYS),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    ),
    st.sampled_from(KINDS),
)
def test_no_document_makes_a_reader_fail_otherwise_than_with_diagnostics(tmp_path_factory, document, kind):
    file = tmp_path_factory.getbasetemp() / "any.json"
    file.write_text(json.dumps(document))
    problems = ()
    try:
        read_import(file, kind)
    except MacfleetError as error:
        problems = error.diagnostics
    assert all(each.code.startswith("E106") for each in problems)


def test_a_part_that_is_not_there_is_none_and_no_problem():
    values = Values({"a": [1]}, "f")
    assert values.at("a", 3, "b").number() is None
    assert values.at("b").items() == []
    assert values.problems == []
