"""`macfleet image` on a fleet folder, against a real registry."""

import json

import pytest
from image_pusher import entry, index, sha256

from macfleet.cli.main import main

HOSTS = """
all:
  children:
    serving:
      vars: {pool: chat, arms: [bare, container]}
      hosts:
        mac-01: {ansible_host: 203.0.113.1}
        lab-01: {ansible_host: 203.0.113.2, platform: linux/amd64}
    edge:
      hosts: {edge-01: {ansible_host: 203.0.113.3, platform: linux/amd64, role: edge}}
"""


@pytest.fixture
def both(pusher):
    """Push one index for both platforms; returns a function that pushes another under the same tag."""

    def push(content=b"1"):
        manifests = {
            platform: pusher.image("engine", platform=platform, files={"engine": content})
            for platform in ("linux/amd64", "linux/arm64")
        }
        top = index(*(entry(data, platform) for platform, data in manifests.items()))
        pusher.manifest("engine", top, "v1")
        return top, manifests

    return push


@pytest.fixture
def fleet(tmp_path, registry):
    (tmp_path / "macfleet.yml").write_text("name: test\n")
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory/hosts.yml").write_text(HOSTS)
    (tmp_path / "images.yml").write_text(
        f"images:\n  engine: {{reference: '{registry}/engine:v1'}}\n"
        f"registries:\n  '{registry}': {{plain_http: true}}\n"
    )
    return tmp_path


@pytest.fixture
def macfleet(fleet, capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--fleet", str(fleet)])
        told = capsys.readouterr()
        return ended.value.code, told.out, told.err

    return run


def test_pin_locks_every_platform_in_use_and_verify_agrees(fleet, both, macfleet):
    top, manifests = both()
    code, out, _ = macfleet("image", "pin")
    assert (code, out.startswith("+ engine")) == (0, True)
    lock = (fleet / "images.lock").read_text()
    for data in (top, *manifests.values()):
        assert sha256(data) in lock
    code, out, _ = macfleet("image", "verify")
    assert (code, out.count("✓ engine")) == (0, 2)


def test_platforms_of_nodes_that_run_no_container_are_not_pinned(fleet, both, macfleet):
    both()
    hosts = fleet / "inventory/hosts.yml"
    hosts.write_text("".join(line for line in HOSTS.splitlines(keepends=True) if "lab-01" not in line))
    assert macfleet("image", "pin")[0] == 0
    lock = (fleet / "images.lock").read_text()
    assert "linux/arm64:" in lock
    assert "linux/amd64:" not in lock


def test_pinning_again_changes_no_byte_and_a_moved_tag_is_shown(fleet, both, macfleet):
    both(b"1")
    macfleet("image", "pin")
    before = (fleet / "images.lock").read_bytes()
    assert macfleet("image", "pin")[1].startswith("· engine")
    assert (fleet / "images.lock").read_bytes() == before
    both(b"2")
    assert macfleet("image", "verify")[0] == 0  # a moved tag changes nothing that is pinned
    assert macfleet("image", "pin")[1].startswith("~ engine")
    assert (fleet / "images.lock").read_bytes() != before


def test_another_name_for_the_same_image_is_shown_when_it_is_pinned(fleet, both, pusher, macfleet):
    top, _ = both(b"1")
    macfleet("image", "pin")
    pusher.manifest("engine", top, "v2")
    images = fleet / "images.yml"
    images.write_text(images.read_text().replace("engine:v1", "engine:v2"))
    assert f"~ engine  {pusher.host}/engine:v1 → {pusher.host}/engine:v2" in macfleet("image", "pin")[1]


def test_mirrors_of_images_yml_are_asked_first_named_when_passed_over_and_shown(
    fleet, both, hostile, macfleet
):
    both(b"1")
    images = fleet / "images.yml"
    own = images.read_text()
    images.write_text(
        own.replace("plain_http: true", f"plain_http: true, mirrors: ['{hostile.host}/near']")
        + f"  '{hostile.host}': {{plain_http: true}}\n"
    )
    code, out, err = macfleet("image", "pin")
    assert (code, out.startswith("+ engine")) == (0, True)
    assert "warning[E0658]" in err
    assert f"mirror {hostile.host} was passed over for near/engine" in " ".join(err.split())
    assert all("/manifests/sha256:" in path or "/blobs/" in path for path in hostile.paths())
    _, out, _ = macfleet("image", "inspect", "--output", "json")
    registry = own.partition("reference: '")[2].partition("/")[0]
    assert {tuple(each["from"]) for each in json.loads(out)["images"]} == {(hostile.host, registry)}
    assert f"from {hostile.host}, else {registry}" in macfleet("image", "inspect")[1]


def test_a_foreign_platform_exits_7_and_writes_nothing(fleet, pusher, macfleet):
    pusher.image("engine", tag="v1", platform="linux/amd64")
    code, out, err = macfleet("image", "pin")
    assert (code, out) == (7, "")
    assert f"{pusher.host}/engine:v1 is not built for linux/arm64" in err
    assert not (fleet / "images.lock").exists()


def test_verify_finds_an_edited_lock(fleet, both, macfleet):
    both(b"3")
    macfleet("image", "pin")
    lock = fleet / "images.lock"
    text = lock.read_text()
    config = text.partition("config: ")[2][:71]
    lock.write_text(text.replace(config, "sha256:" + "0" * 64))
    code, _, err = macfleet("image", "verify")
    assert (code, "the lock was edited" in " ".join(err.split())) == (2, True)


def test_verify_finds_what_the_registry_lost_and_what_is_not_pinned(fleet, both, macfleet):
    both(b"4")
    macfleet("image", "pin")
    lock = fleet / "images.lock"
    text = lock.read_text()
    manifest = text.partition("manifest: ")[2][:71]
    lock.write_text(text.replace(manifest, "sha256:" + "0" * 64))
    with (fleet / "images.yml").open("a") as images:
        images.write("  registry.example: {user: fleet, password: env:NO_SUCH_VARIABLE}\n")
    code, _, err = macfleet("image", "verify")
    assert (code, "NO_SUCH_VARIABLE" in err) == (2, True)
    text = (fleet / "images.yml").read_text().replace("  registry.example: {user", "  # {user")
    (fleet / "images.yml").write_text(text.replace("images:\n", "images:\n  other: {reference: 'a:1'}\n", 1))
    code, _, err = macfleet("image", "verify")
    assert code == 2
    assert "E0602" in err
    assert "E0625" in err


def test_resolve_shows_what_a_reference_means(both, pusher, macfleet):
    top, manifests = both(b"5")
    reference = f"{pusher.host}/engine:v1"
    code, out, _ = macfleet("image", "resolve", reference, "--output", "json")
    document = json.loads(out)
    assert (code, document["schema"], document["kind"]) == (0, 1, "image")
    assert document["index"] == sha256(top)
    assert document["manifest"] == sha256(manifests["linux/arm64"])
    code, out, _ = macfleet("image", "resolve", reference, "--platform", "linux/amd64")
    assert (code, sha256(manifests["linux/amd64"]) in out) == (0, True)
    assert macfleet("image", "resolve", reference, "--platform", "linux/s390x")[0] == 7
    assert macfleet("image", "resolve", "Not A Reference")[0] == 2
