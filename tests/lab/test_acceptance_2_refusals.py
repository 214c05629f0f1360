"""Wrong input: the right exit code, words that name the cause and the mend, and nothing changed."""

from __future__ import annotations

import subprocess

import pytest

pytestmark = pytest.mark.lab

INVENTORY = "inventory/lab/hosts.yml"
ODD = """od'd"; touch pwned; $(touch pwned) `touch pwned` $HOME &.gguf"""


@pytest.fixture
def unchanged(nodes):
    """Nodes hold and run afterwards what they held and ran before."""
    before = nodes.snapshot()
    yield
    assert nodes.snapshot() == before


def says(said, *words):
    for each in words:
        assert each in said.text, said.text


def foreign_reference(fleet, nodes):
    """The foreign image by digest, as the registry has it."""
    tag = nodes.state["images"]["foreign"]
    said = fleet("image", "resolve", tag)
    return next(word for word in said.stdout.split() if word.startswith(tag.rpartition(":")[0] + "@"))


@pytest.mark.usefixtures("unchanged")
def test_an_unknown_key_is_refused_with_its_line_and_a_suggestion(spoilt):
    spoilt.edit(INVENTORY, "pool: chat", "poool: chat")
    line = next(n for n, text in enumerate(spoilt.read(INVENTORY).splitlines(), 1) if "poool" in text)
    says(
        spoilt("rollout", "stage1", exits=2),
        'unknown key "poool"',
        f"{INVENTORY}:{line}:",
        'did you mean "pool"?',
    )


@pytest.mark.usefixtures("unchanged")
def test_a_wrong_type_is_refused_with_its_line(spoilt):
    spoilt.edit(INVENTORY, "cpus: 2", "cpus: two")
    line = next(n for n, text in enumerate(spoilt.read(INVENTORY).splitlines(), 1) if "two" in text)
    says(spoilt("rollout", "stage1", exits=2), "must be a whole number", f"{INVENTORY}:{line}:")


@pytest.mark.usefixtures("unchanged")
def test_a_fixture_edited_after_the_freeze_is_refused(spoilt):
    spoilt.edit("contract/fixtures/short/letter.json", "a friendly letter", "a stern letter")
    says(
        spoilt("rollout", "stage1", exits=2),
        "fixture fixtures/short/letter.json was edited",
        "was frozen as version 1",
        "set version: 2",
        "macfleet contract freeze",
    )


@pytest.mark.usefixtures("unchanged")
def test_an_image_of_a_foreign_platform_is_refused_by_name(spoilt, nodes):
    reference = foreign_reference(spoilt, nodes)
    spoilt.edit("images.yml", nodes.state["images"]["engine"], reference)
    lock = spoilt.read("images.lock")
    said = spoilt("rollout", "stage2", exits=7)
    says(
        said,
        "is not built for linux/amd64; it offers linux/arm64",
        "docker buildx build --platform linux/amd64",
    )
    assert reference in said.text.replace(" ", "")
    assert spoilt.read("images.lock") == lock


@pytest.mark.usefixtures("unchanged")
def test_a_mutable_tag_is_refused_by_name(spoilt, nodes):
    tag = nodes.state["images"]["mutable"]
    spoilt.edit("images.yml", nodes.state["images"]["engine"], tag)
    lock = spoilt.read("images.lock")
    says(
        spoilt("rollout", "stage2", exits=2), f"{tag} is a mutable tag", "images.yml:3", "macfleet image pin"
    )
    assert spoilt.read("images.lock") == lock


def test_a_foreign_image_planted_on_a_node_is_found(spoilt, nodes):
    foreign = nodes.state["images"]["foreign"]
    planted = nodes.state["images"]["engine"].partition("@")[0] + ":by-hand"
    nodes.brewed("mac-01", f"docker pull -q {foreign}; docker tag {foreign} {planted}")
    try:
        said = spoilt("rollout", "stage2", "--again", "-l", "mac-01", exits=7)
    finally:
        nodes.brewed("mac-01", f"docker rmi {foreign} {planted}")
    says(said, "images_native", "on the node is linux/arm64, not linux/amd64", "docker image rm")
    spoilt("rollout", "stage2", "--again", "-l", "mac-01")


@pytest.mark.usefixtures("unchanged")
def test_a_node_nobody_answers_for_is_unreachable(spoilt, nodes):
    away = nodes.address("mac-02").rpartition(".")[0] + ".77"
    spoilt.edit(INVENTORY, nodes.address("mac-02"), away)
    said = spoilt("rollout", "stage1", exits=5)
    says(said, f"cannot connect to {away}", "1 node unreachable; 1 node current", "--resume")


@pytest.mark.usefixtures("unchanged")
def test_a_host_key_nobody_enrolled_is_refused(spoilt):
    inventory = spoilt.read(INVENTORY)
    spoilt.write(INVENTORY, "".join(each for each in inventory.splitlines(True) if "host_key:" not in each))
    spoilt.write(".macfleet/known_hosts", "")
    says(spoilt("rollout", "stage1", exits=5), "unknown host key", "SHA256:", "macfleet enrol mac-01")
    assert spoilt.read(".macfleet/known_hosts") == ""


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("pinned", [True, False], ids=["pinned", "enrolled"])
def test_a_changed_host_key_is_refused(spoilt, nodes, tmp_path, pinned):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    other = " ".join((tmp_path / "key.pub").read_text().split()[:2])
    shown = subprocess.run(
        ["ssh-keygen", "-lf", str(tmp_path / "key.pub")], capture_output=True, text=True, check=True
    ).stdout.split()[1]
    if pinned:
        spoilt.for_node("mac-01", host_key=shown)
        word, mend = "not the pinned one", "`host_key`"
    else:
        inventory = spoilt.read(INVENTORY)
        spoilt.write(INVENTORY, "".join(e for e in inventory.splitlines(True) if "host_key:" not in e))
        spoilt.write(".macfleet/known_hosts", f"{nodes.address('mac-01')} {other}\n")
        word, mend = "changed", "enrol mac-01 --replace"
    says(spoilt("rollout", "stage1", "-l", "mac-01", exits=5), word, shown, mend)


def test_a_missing_bind_source_holds_its_node_alone(spoilt, nodes):
    nodes.brewed("mac-01", "mv ~/models ~/away")
    try:
        before = nodes.snapshot()
        said = spoilt("rollout", "stage3", exits=7)
        assert nodes.snapshot() == before
    finally:
        nodes.brewed("mac-01", "mv ~/away ~/models")
    says(
        said,
        "bind source /Users/ops/models is missing",
        "1 node held",
        "macfleet inventory explain mac-01.roots",
    )
    spoilt("rollout", "stage3", "-l", "mac-01")


@pytest.mark.usefixtures("unchanged")
def test_a_stage_without_its_predecessors_evidence_is_refused(spoilt):
    for path in (spoilt.folder / ".macfleet").glob("state.db*"):
        path.unlink()
    for check in ((), ("--check",)):
        said = spoilt("rollout", "stage3", *check, exits=7)
        says(
            said,
            "stage 2 (images) has no evidence on this node",
            "macfleet rollout stage1 -l mac-01",
            "2 nodes held",
        )


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"roots": {"logs": "/Users/ops/lo gs"}}, "cannot mount a path with a space"),
        ({"compose_project": "a b; touch ~/pwned"}, "is not a project name"),
        ({"bare_label": "x'; touch ~/pwned; '"}, "is not a label"),
        ({"macfleet_home": "/Users/ops/m'$(touch ~/pwned)'"}, "pwned"),
        ({"ansible_user": "ops; touch ~/pwned"}, "must be a login name"),
        ({"ansible_host": "-oProxyCommand=touch pwned"}, "must be a host name or an address"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_value_no_path_or_name_can_have_is_refused(spoilt, nodes, values, words):
    shared = spoilt.shared()
    full = {
        key: {**shared[key], **value} if key in shared and isinstance(value, dict) else value
        for key, value in values.items()
    }
    spoilt.for_node("mac-01", **full)
    says(spoilt("rollout", "stage3", "-l", "mac-01", exits=2), words)
    nothing_pwned(nodes, spoilt)


def test_a_weights_file_named_like_shell_text_is_served_and_never_run(spoilt, nodes):
    spoilt.for_node("mac-01", weights_file=ODD)
    link = 'cd ~/models && ln small-chat.gguf "$(cat)"'
    try:
        nodes.brewed("mac-01", link, stdin=ODD)
        spoilt("apply", "playbooks/site.yml", "-l", "mac-01")
        spoilt("rollout", "stage3", "-l", "mac-01")
        assert f"-m /Users/ops/models/{ODD} " in nodes.login("mac-01", "ps -axo command").stdout
        shown = nodes.brewed("mac-01", "docker inspect -f '{{index .Config.Cmd 1}}' chat-engine-1")
        assert shown == f"/models/{ODD}\n"
        nothing_pwned(nodes, spoilt)
    finally:
        heal(spoilt, nodes)


def heal(spoilt, nodes):
    """Bring the node back to what the fleet says."""
    inventory = spoilt.read(INVENTORY)
    assert "weights_file" in inventory
    spoilt.for_node("mac-01", weights_file="small-chat.gguf")
    spoilt("apply", "playbooks/site.yml", "-l", "mac-01")
    spoilt("rollout", "stage3", "-l", "mac-01")
    nodes.brewed("mac-01", "rm -f ~/models/od*")


def nothing_pwned(nodes, fleet):
    for name in nodes.names:
        look = "find / -xdev -name 'pwned*' -print"
        assert nodes.docker("exec", nodes.container(name), "sh", "-c", look) == ""
        assert "pwned" not in nodes.in_vm(name, look).stdout
    assert not list(fleet.folder.rglob("pwned*"))
