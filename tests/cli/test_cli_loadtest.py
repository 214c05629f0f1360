import json
from pathlib import Path

import pytest

FILE = Path(__file__).parent.parent / "store" / "imports" / "guidellm.json"
IMPORT = ("loadtest", "import", FILE, "--arm", "bare", "--bucket", "short")


@pytest.fixture
def fleet(tmp_path):
    (tmp_path / "macfleet.yml").write_text("name: test\ninventory: [inventory/hosts.yml]\n")
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory/hosts.yml").write_text(
        "all:\n  children:\n    serving:\n      hosts:\n"
        "        mac-01: {ansible_host: 192.0.2.1}\n        mac-02: {ansible_host: 192.0.2.2}\n"
    )
    return tmp_path


def test_a_result_is_imported_shown_and_compared_with_what_is_not_comparable(run, fleet):
    code, out, _ = run(*IMPORT, "--node", "mac-01", "--fleet", fleet)
    assert code == 0
    assert "2 cells from GuideLLM 0.8.1" in out
    assert "! end to end lasts until the stream is closed" in out
    code, out, _ = run("loadtest", "show", "--fleet", fleet)
    assert (code, "short×4" in out, "! what was sent is not known" in out) == (0, True, True)
    imported = json.loads(run("run", "list", "--output", "json", "--fleet", fleet)[1])["runs"][0]
    code, out, _ = run("compare", imported["id"], "--format", "md", "--fleet", fleet)
    assert code == 0
    assert "(GuideLLM 0.8.1)" in out
    assert "80.0" in out, "the figures are shown although nobody may judge them"
    assert "shown beside ours, never judged" in out
    assert "imported, not judged" in out
    assert "stage5 --again" not in out, "measuring again would not mend it"
    code, out, _ = run("decide", imported["id"], "--require", "keep", "--fleet", fleet)
    assert code == 7, "figures of others keep nothing"


def test_an_imported_run_is_not_picked_by_itself(run, fleet):
    run(*IMPORT, "--node", "mac-01", "--fleet", fleet)
    code, _, err = run("compare", "--fleet", fleet)
    assert (code, "there is no load test to compare yet" in err) == (2, True)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--node", "serving"), "E1067"),
        (("--node", "mac-01", "--kind", "aiperf"), "E1064"),
        (("--node", "mac-01", "--bucket", "a×b"), "letters, digits"),
        (("--node", "mac-01", "--rate", "2", "--concurrency", "4"), "exclude each other"),
    ],
)
def test_what_cannot_be_imported_is_a_usage_error(run, fleet, options, word):
    code, _, err = run(*IMPORT, *options, "--fleet", fleet)
    assert (code, word in err) == (2, True)


def test_a_fleet_without_a_load_test_says_how_to_get_one(run, fleet):
    code, _, err = run("loadtest", "show", "--fleet", fleet)
    assert (code, "loadtest import FILE" in err) == (2, True)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--concurrency", "4", "--rate", "2"), "exclude each other"),
        (("--arrivals", "poisson"), "--arrivals goes with --rate"),
        (("--duration", "soon"), "E0114"),
        (("--arm", "bear"), "bear"),
    ],
)
def test_an_ad_hoc_load_that_cannot_be_is_a_usage_error(run, fleet, options, word):
    code, _, err = run("loadtest", "run", *options, "--fleet", fleet)
    assert (code, word in err) == (2, True)
