"""Reports for llm-d's explorer, held against that project's own schema of version 0.2.1."""

import json
import math
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from macfleet.analysis.cells import summarise
from macfleet.analysis.summaries import summary_document
from macfleet.cli.compare import compare as compare_command
from macfleet.reports.compare import compare
from macfleet.reports.llmd import llmd_reports
from macfleet.store.folder_runs import FolderRuns
from macfleet.store.imports import read_import
from macfleet.testing.synthetic import SyntheticArm, synthetic_run

SCHEMA = json.loads((Path(__file__).parent / "llmd" / "br_v0_2_1_json_schema.json").read_text())
TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def problems(value, schema, place="report"):
    """What of a value breaks a JSON Schema, as far as this schema uses the language."""
    if "$ref" in schema:
        return problems(value, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], place)
    for word in ("anyOf", "oneOf"):
        if word in schema:
            options = [each for each in schema[word] if value is None or each.get("type") != "null"]
            return min((problems(value, option, place) for option in options), key=len)
    wanted = TYPES.get(schema.get("type"))
    if wanted and (not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool)):
        return [f"{place}: {value!r} is not {schema['type']}"]
    rules = {
        "const": lambda told: value == told,
        "enum": lambda told: value in told,
        "minimum": lambda told: value >= told,
        "exclusiveMinimum": lambda told: value > told,
        "format": lambda told: told != "date-time" or datetime.fromisoformat(value),
    }
    found = [
        f"{place}: {value!r} breaks {name}"
        for name in rules
        if name in schema and not rules[name](schema[name])
    ]
    return found + inside(value, schema, place)


def inside(value, schema, place):
    if isinstance(value, list):
        items = schema.get("items", {})
        return [each for i, item in enumerate(value) for each in problems(item, items, f"{place}[{i}]")]
    if not isinstance(value, dict):
        return []
    known, more = schema.get("properties", {}), schema.get("additionalProperties", True)
    found = [f"{place}: {name} is missing" for name in schema.get("required", []) if name not in value]
    for name, item in value.items():
        if name not in known and more is False:
            found.append(f"{place}: nobody knows {name}")
        else:
            rest = more if isinstance(more, dict) else {}
            found += problems(item, known.get(name, rest), f"{place}.{name}")
    return found


@pytest.fixture(scope="session")
def recorded():
    """One node's requests: two arms, failures in one of them."""
    arms = (SyntheticArm("bare"), SyntheticArm("container", errors=0.1, memory=70))
    return synthetic_run(arms, cells=("short×1", "short×4"), segments=2, seconds=30)


@pytest.fixture
def measured(make_run, recorded):
    cells = summarise(recorded.samples, recorded.reports, recorded.series, node="mac-01")
    return make_run(cells=lambda _: cells, facts={"model": "small-chat", "network": "vmnet"})


@pytest.fixture
def reports(measured, recorded):
    def find(run, node, arm, cell):
        rows = [s.document() for s in recorded.samples if (s.arm, s.cell, s.warmup) == (arm, cell, False)]
        return pl.DataFrame(rows, infer_schema_length=None)

    return llmd_reports(compare([measured]), [measured], find)


def test_the_checker_itself_finds_what_is_wrong(reports):
    report = json.loads(json.dumps(next(iter(reports.values()))))
    report["results"]["request_performance"]["aggregate"]["latency"]["request_latency"]["units"] = "furlongs"
    report["run"]["weather"] = "fine"
    del report["scenario"]["load"]["standardized"]["source"]
    report["results"]["request_performance"]["aggregate"]["requests"]["total"] = -1
    found = problems(report, SCHEMA)
    assert len(found) >= 4, found


def test_every_report_keeps_to_the_schema(reports):
    assert len(reports) == 4
    for report in reports.values():
        assert problems(json.loads(json.dumps(report, allow_nan=False)), SCHEMA) == []


def test_each_field_says_what_was_measured(reports, measured, recorded):
    report = reports["benchmark_report_v0.2,_20261123T041205Z-loadtest-1a2b_mac-01_container_shortx4.json"]
    cell = next(c for c in measured.cells if (c.arm, c.cell) == ("container", "short×4"))
    whole = report["results"]["request_performance"]["aggregate"]
    assert whole["requests"]["total"] == cell.n
    assert whole["requests"]["failures"] == cell.n - cell.ok > 0
    assert whole["throughput"]["output_token_rate"] == {
        "units": "tokens/s",
        "mean": cell.tokens_per_second.value,
    }
    own = [
        (s.t_last_gen - s.t_send) / 1e9
        for s in recorded.samples
        if (s.arm, s.cell, s.outcome) == ("container", "short×4", "ok") and not s.warmup
    ]
    latency = whole["latency"]["request_latency"]
    assert latency["mean"] == pytest.approx(sum(own) / len(own))
    assert latency["p50"] == pytest.approx(sorted(own)[math.ceil(len(own) / 2) - 1])
    assert whole["latency"]["time_per_output_token"]["units"] == "s/token"
    assert "inter_token_latency" not in whole["latency"], "theirs is of every gap, which is not kept"
    load = report["scenario"]["load"]["standardized"]
    assert (load["tool"], load["concurrency"], load["source"]) == ("macfleet", 4, "sampled")
    engine, machine = (each["standardized"] for each in report["scenario"]["stack"])
    assert (engine["model"]["name"], engine["role"], machine["network"]) == ("small-chat", "replica", "vmnet")


def test_without_its_requests_a_cell_has_no_statistics_made_up(measured):
    reports = llmd_reports(compare([measured]), [measured], lambda *_: None)
    for report in reports.values():
        whole = report["results"]["request_performance"]["aggregate"]
        assert set(whole) == {"requests", "throughput"}
        assert problems(json.loads(json.dumps(report)), SCHEMA) == []


def test_the_same_comparison_gives_the_same_reports(measured):
    one, two = (llmd_reports(compare([measured]), [measured], lambda *_: None) for _ in range(2))
    assert json.dumps(one) == json.dumps(two)


def test_the_command_writes_files_that_our_own_import_reads(fleet, measured, recorded, tmp_path):
    writer = FolderRuns(fleet / ".macfleet" / "runs").create(measured.manifest.id)
    writer.json("summary.json", summary_document(measured.cells))
    writer.json("nodes/mac-01/facts.json", measured.facts["mac-01"])
    for arm in ("bare", "container"):
        writer.samples(f"nodes/mac-01/{arm}/samples.parquet", [s for s in recorded.samples if s.arm == arm])
    writer.finish(measured.manifest)
    folder = tmp_path / "reports"
    arguments = ["--format", "llmd", "--to", str(folder), "--fleet", str(fleet)]
    result = CliRunner().invoke(compare_command, arguments, standalone_mode=False)
    assert result.return_value == 0, result.exception
    files = sorted(folder.iterdir())
    assert len(files) == 4
    found = read_import(files[0]).found.cells[0]
    cell = measured.cells[0]
    assert (found.ok, found.concurrency, found.qps) == (cell.ok, cell.concurrency, cell.qps)
    assert found.first.at(0.5).value == pytest.approx(cell.ttft_p50.value)
