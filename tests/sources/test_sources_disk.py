from __future__ import annotations

import os

import pytest

from macfleet.model.diagnostic import MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.sources.disk import DiskFiles


@pytest.fixture
def root(tmp_path):
    for path in ("a.yml", "vars/b.yml", "vars/deep/c.yml", "vars/.hidden"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    return tmp_path


def test_files_are_read_relative_to_the_folder_and_by_absolute_path(root):
    files = DiskFiles(root)
    assert files.read("vars/b.yml") == b"vars/b.yml"
    assert files.read(str(root / "a.yml")) == b"a.yml"


@pytest.mark.parametrize("path", ["none.yml", "vars", "a.yml/below"])
def test_what_is_no_file_is_not_found(root, path):
    files = DiskFiles(root)
    assert not files.exists(path)
    with pytest.raises(FileNotFoundError):
        files.read(path)


def test_a_folder_lists_the_files_below_it_sorted_and_spelled_like_it(root):
    files = DiskFiles(root)
    below = ("vars/.hidden", "vars/b.yml", "vars/deep/c.yml")
    assert files.list("vars") == files.list("vars/") == below
    assert files.list(str(root / "vars")) == tuple(str(root / path) for path in below)
    assert files.list("none") == ()


def test_a_loop_of_links_and_a_pipe_are_not_listed(root):
    (root / "vars" / "loop").symlink_to(root / "vars")
    (root / "vars" / "link.yml").symlink_to(root / "a.yml")
    os.mkfifo(root / "vars" / "pipe")
    assert DiskFiles(root).list("vars") == ("vars/.hidden", "vars/b.yml", "vars/deep/c.yml", "vars/link.yml")


def test_a_linked_folder_is_listed_where_it_is_linked(root, tmp_path_factory):
    shared = tmp_path_factory.mktemp("shared")
    (shared / "d.yml").write_text("d")
    (root / "vars" / "web").symlink_to(shared)
    (root / "more").symlink_to("vars")
    files = DiskFiles(root)
    assert "vars/web/d.yml" in files.list("vars")
    assert "more/web/d.yml" in files.list("more")
    assert files.read("more/web/d.yml") == b"d"


def test_folders_that_link_to_one_another_end(root):
    (root / "other").mkdir()
    (root / "other" / "back").symlink_to(root / "vars")
    (root / "other" / "e.yml").write_text("e")
    (root / "vars" / "there").symlink_to(root / "other")
    below = ("vars/.hidden", "vars/b.yml", "vars/deep/c.yml")
    assert DiskFiles(root).list("vars") == (*below, "vars/there/e.yml")


def test_a_file_that_the_system_refuses_is_a_diagnostic(root):
    (root / "self").symlink_to("self")  # a link to itself cannot be opened, even by root
    with pytest.raises(MacfleetError) as caught:
        DiskFiles(root).read("self")
    assert caught.value.exit_code is ExitCode.INTERNAL
    with pytest.raises(MacfleetError, match="cannot be read"):
        DiskFiles(root).list("self")
