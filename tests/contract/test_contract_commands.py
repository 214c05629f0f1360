"""`macfleet contract` on a fleet folder: what it says, writes and exits with."""

import json
import shutil
from pathlib import Path

import pytest

from macfleet.cli.main import main

TOP = Path(__file__).parents[2]


@pytest.fixture
def fleet(tmp_path):
    """A fleet folder with the example contract, frozen."""
    (tmp_path / "macfleet.yml").write_text("name: test\n")
    shutil.copytree(TOP / "contract", tmp_path / "contract")
    return tmp_path


@pytest.fixture
def macfleet(fleet, capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--fleet", str(fleet)])
        told = capsys.readouterr()
        return ended.value.code, told.out, told.err

    return run


def edit(path, before, after):
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


def test_check_passes_on_the_frozen_contract(macfleet):
    code, out, err = macfleet("contract", "check")
    assert (code, err) == (0, "")
    assert out.startswith("✓ chat-small v1 (")


def test_freezing_again_leaves_the_lock_alone(fleet, macfleet):
    before = (fleet / "contract/contract.lock").read_bytes()
    code, out, _ = macfleet("contract", "freeze")
    assert (code, "unchanged" in out) == (0, True)
    assert (fleet / "contract/contract.lock").read_bytes() == before


def test_an_edited_fixture_exits_2_until_version_and_lock_follow(fleet, macfleet):
    edit(fleet / "contract/fixtures/short/story.json", "short story", "short tale")
    for command in ("check", "freeze"):
        code, out, err = macfleet("contract", command)
        assert (code, out) == (2, "")
        assert "fixtures/short/story.json" in err
        assert "version: 2" in err
    edit(fleet / "contract/contract.yml", "version: 1", "version: 2")
    assert macfleet("contract", "check")[0] == 2
    code, out, _ = macfleet("contract", "diff")
    assert "~ fixture fixtures/short/story.json was edited" in out
    assert "cannot be compared" in out
    assert macfleet("contract", "freeze")[0] == 0
    assert macfleet("contract", "check")[0] == 0


def test_show_names_every_promise(macfleet):
    code, out, _ = macfleet("contract", "show")
    assert code == 0
    for word in ("/v1/chat/completions streaming usage", "short (primary)", "TTFT p95 800 ms", "errors 0.5%"):
        assert word in out


@pytest.mark.parametrize("command", ["show", "check", "freeze", "diff"])
def test_json_is_one_versioned_document(command, macfleet):
    code, out, _ = macfleet("contract", command, "--output", "json")
    document = json.loads(out)
    assert (code, document["schema"]) == (0, 1)
    assert document["kind"].startswith("contract")


def test_diff_compares_with_another_lock(fleet, macfleet, tmp_path):
    old = tmp_path / "old.lock"
    shutil.copy(fleet / "contract/contract.lock", old)
    edit(fleet / "contract/contract.yml", "e2e_p95: 9s", "e2e_p95: 8s")
    code, out, _ = macfleet("contract", "diff", str(old))
    assert (code, "buckets.short.slo.e2e_p95: 9s → 8s" in out) == (0, True)
    assert macfleet("contract", "diff", str(tmp_path / "none"))[0] == 2


def test_without_a_lock_check_asks_for_a_freeze(fleet, macfleet):
    (fleet / "contract/contract.lock").unlink()
    code, _, err = macfleet("contract", "check")
    assert (code, "macfleet contract freeze" in err) == (2, True)
    assert macfleet("contract", "freeze")[0] == 0
    assert macfleet("contract", "check")[0] == 0
