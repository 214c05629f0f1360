"""What engines print about their images, of both kinds of store, and what of it is refused."""

import json

import pytest

from macfleet.facts.image_store import parse_store, part_of, removal_script
from macfleet.model.resource import ProbeOutput

A, B, C = (f"sha256:{letter * 64}" for letter in "abc")
REPOSITORY = "registry.example:5000/llama-server"


def printed(*rows, exit_code=0, stderr=""):
    lines = (row if isinstance(row, str) else f"{row[0]} {json.dumps(row[1])}" for row in rows)
    return ProbeOutput(exit_code, "".join(f"{line}\n" for line in lines), stderr)


def image(identity, tags=(), digests=(), size=10):
    return "image", {"id": identity, "tags": list(tags), "digests": list(digests), "size": size}


def used(identity, wanted="", name="/chat-engine-1"):
    return "used", {"image": identity, "wanted": wanted, "name": name}


@pytest.mark.parametrize(
    ("row", "names", "digests"),
    [
        # A containerd store: pushed under a tag, pulled by digest.
        (image(A, [f"{REPOSITORY}:sha256-{'a' * 64}"], [f"{REPOSITORY}@{A}"]), [f"{REPOSITORY}:sha256-{'a' * 64}"], {A}),
        (image(A, [], [f"{REPOSITORY}@{A}"]), [f"{REPOSITORY}@{A}"], {A}),
        # A classic store: the id is the config's digest, the tag alone tells the manifest.
        (image(B, [f"{REPOSITORY}:sha256-{'a' * 64}"], []), [f"{REPOSITORY}:sha256-{'a' * 64}"], {A, B}),
        (image(B, [], [f"{REPOSITORY}@{A}"]), [f"{REPOSITORY}@{A}"], {A, B}),
        (image(B, ["<none>:<none>"], ["<none>@<none>"]), [], {B}),
    ],
)  # fmt: skip
def test_an_image_is_known_by_its_id_its_digests_and_its_tag(row, names, digests):
    [found] = parse_store(printed(row)).images
    assert (list(found.names), found.digests) == (names, frozenset(digests))
    assert found.repositories == ((REPOSITORY,) if names else ())


@pytest.mark.parametrize(
    "container",
    [used(A), used(B, f"{REPOSITORY}:1"), used(B, A)],
    ids=["by id", "by the name it was made from", "by a digest it was made from"],
)
def test_a_container_uses_its_image_however_it_names_it(container):
    [found] = parse_store(printed(image(A, [f"{REPOSITORY}:1"]), container)).images
    assert found.users == ("chat-engine-1",)


def test_the_largest_image_comes_first_and_what_lies_beside_is_counted_in_bytes():
    part = f".sha256-{'d' * 64}.{'e' * 16}.part"
    store = parse_store(printed(image(A, size=1), image(B, size=2), f"part {part} 3", "part kept-0a1b 4"))
    assert [found.id for found in store.images] == [B, A]
    assert dict(store.parts) == {part: 3072, "kept-0a1b": 4096}
    assert part_of(part) == f"sha256-{'d' * 64}"
    assert part_of("kept-0a1b") == "kept-0a1b"


@pytest.mark.parametrize(
    "output",
    [
        printed(exit_code=1, stderr="Cannot connect to the Docker daemon"),
        printed("something else"),
        printed("image {"),
        printed("image []"),
        printed(image("latest")),
        printed(image(A, size="10MB")),
        printed(image(A, size=True)),
        printed(("image", {"id": A, "tags": "x", "digests": [], "size": 1})),
        printed(("image", {"id": A, "tags": [1], "digests": [], "size": 1})),
        printed(("used", {"image": A, "wanted": None, "name": "x"})),
        printed("part ../../etc 4"),
        printed(f"part sha256-{'d' * 64} many"),
    ],
)
def test_what_is_not_understood_is_an_error_never_an_empty_store(output):
    with pytest.raises(ValueError, match=r"\S"):
        parse_store(output)


def test_names_of_a_node_reach_the_shell_quoted():
    script = removal_script(["x;reboot", f"{REPOSITORY}:1"], ["kept-0a1b"])
    assert "docker image rm 'x;reboot' " in script
    assert "force" not in script
