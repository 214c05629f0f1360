"""What commands write: whole, in one step, or refused with what to do."""

import pytest

from macfleet.cli.whole_file import write_whole
from macfleet.contract.images import render_images_lock
from macfleet.model.diagnostic import MacfleetError


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "new" / "images.lock"
    for text in ("one\n", "two\n"):
        write_whole(path, text)
        assert path.read_text(encoding="utf-8") == text
    assert list(path.parent.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_said_and_what_was_there_stays(tmp_path):
    file = tmp_path / "a file; not a folder"
    file.write_text("kept")
    with pytest.raises(MacfleetError) as refused:
        write_whole(file / "bill.json", "{}")
    (problem,) = refused.value.diagnostics
    assert (problem.code, f"df '{file}'" in problem.mend) == ("E1006", True)
    assert file.read_text() == "kept"


def test_a_target_that_cannot_be_written_is_no_bug_of_ours(run, fleet):
    (fleet / "plain").write_text("")
    (fleet / "images.lock").write_text(render_images_lock([]))
    code, _, err = run("image", "sbom", "--to", "plain/bill.json")
    assert (code, "E1006" in err) == (1, True), err


def test_a_lock_whose_layers_and_contents_do_not_pair_is_refused(run, fleet):
    code, _, err = run("image", "sbom")
    assert (code, "E0675" in err) == (7, True), err
