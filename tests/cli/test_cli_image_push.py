"""`macfleet image push` and `prune` before any node is asked: what is refused, and what to type instead."""

import json

import pytest

from macfleet.cli.main import main
from macfleet.contract.releases import Release, ReleaseLock, render_releases
from macfleet.model.image import Blob, LockedImage, ResolvedImage

HOSTS = """
all:
  children:
    serving:
      vars: {pool: chat, arms: [container]}
      hosts:
        mac-01: {ansible_host: 203.0.113.1}
        mac-02: {ansible_host: 203.0.113.2, delivery: push}
    edge: {hosts: {edge-01: {ansible_host: 203.0.113.3}}}
"""


def digest(letter):
    return f"sha256:{letter * 64}"


def locked():
    image = ResolvedImage(
        "registry.example/engine:1",
        "registry.example/engine",
        digest("1"),
        digest("2"),
        digest("3"),
        "linux/arm64",
        (Blob(digest("4"), 10),),
        (digest("5"),),
    )
    return LockedImage("engine", image.reference, image.index, {"linux/arm64": image})


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "macfleet.yml").write_text("name: test\n")
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory/hosts.yml").write_text(HOSTS)
    (tmp_path / "images.lock").write_text(render_releases(ReleaseLock(Release({"engine": locked()}))))
    return tmp_path


@pytest.fixture
def refused(folder, capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--fleet", str(folder), "--output", "json"])
        document = json.loads(capsys.readouterr().out)
        return ended.value.code, [(each["code"], each["node"]) for each in document["diagnostics"]]

    return run


@pytest.mark.parametrize(
    ("arguments", "code", "diagnostics"),
    [
        (("push", "-l", "mac-01"), 8, [("E0645", None)]),
        (("push", "motor", "wheel"), 2, [("E0644", None), ("E0644", None)]),
        (("push", "--check", "-l", "nobody"), 2, [("E0220", None)]),
        (("prune",), 2, [("E0111", None)]),
        (("prune", "--check", "-l", "edge"), 8, [("E0649", None)]),
    ],
)
def test_what_names_no_image_or_no_node_is_refused(refused, arguments, code, diagnostics):
    assert refused("image", *arguments) == (code, diagnostics)


@pytest.mark.parametrize(
    ("name", "mend"), [("engin", 'did you mean "engine"?'), ("wheel", "It has: engine.")]
)
def test_an_image_that_was_misspelt_is_guessed(folder, capsys, name, mend):
    with pytest.raises(SystemExit):
        main(["image", "push", name, "--fleet", str(folder), "--output", "json"])
    [found] = json.loads(capsys.readouterr().out)["diagnostics"]
    assert found["mend"] == mend


def test_without_a_lock_nothing_is_pushed_and_nothing_pruned(refused, folder):
    (folder / "images.lock").unlink()
    assert refused("image", "push") == (2, [("E0644", None)])
    assert refused("image", "prune", "--check") == (2, [("E0646", "mac-01"), ("E0646", "mac-02")])
