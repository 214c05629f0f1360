"""`images.yml` and `images.lock`."""

import pytest

from macfleet.contract.images import (
    check_images,
    load_images,
    load_images_lock,
    lock_image,
    parse_images_lock,
    render_images_lock,
)
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.image import Blob, ResolvedImage

IMAGES = """
images:
  engine:
    reference: registry.example/llama-server:b10434
    platforms: [linux/arm64, linux/amd64]
    base: {name: registry.example/debian:12, digest: sha256:%s}
  loadgen: {reference: "registry.example/python:3.12"}
registries:
  registry.example: {user: fleet, password: env:REGISTRY_PASSWORD, realms: [auth.example]}
  "172.28.90.2:5000": {plain_http: true}
""" % ("b" * 64)


def digest(letter):
    return f"sha256:{letter * 64}"


def resolved(platform="linux/arm64", index="1", labels=None):
    return ResolvedImage(
        reference="registry.example/llama-server:b10434",
        repository="registry.example/llama-server",
        index=digest(index),
        manifest=digest("2"),
        config=digest("3"),
        platform=platform,
        layers=(Blob(digest("4"), 42, "application/vnd.oci.image.layer.v1.tar+gzip"), Blob(digest("5"), 0)),
        diff_ids=(digest("6"), digest("7")),
        labels=labels or {},
        offered=("linux/amd64", "linux/arm64"),
        created="2026-01-02T03:04:05Z",
    )


@pytest.fixture
def wanted(text_files):
    return load_images(text_files({"images.yml": IMAGES}))


def locked(wanted, **arguments):
    engine = wanted.images[0]
    images = {each: resolved(each, **arguments) for each in engine.platforms}
    return lock_image(engine, images, "2026-11-23T00:00:00Z")


def problems(act, *arguments):
    with pytest.raises(MacfleetError) as caught:
        act(*arguments)
    return caught.value.diagnostics


def test_images_are_read_with_their_registries(wanted):
    engine, loadgen = wanted.images
    assert (engine.name, engine.platforms) == ("engine", ("linux/arm64", "linux/amd64"))
    assert (engine.base_name, engine.base_digest) == ("registry.example/debian:12", digest("b"))
    assert (loadgen.reference, loadgen.platforms) == ("registry.example/python:3.12", ())
    plain, login = wanted.registries
    assert (plain.host, plain.plain_http) == ("172.28.90.2:5000", True)
    assert (login.user, login.password, login.realms) == ("fleet", "env:REGISTRY_PASSWORD", ("auth.example",))


def test_a_lock_reads_back_as_what_was_written(wanted):
    image = locked(wanted, labels={"odd": 'a: "b"\n# c', "empty": ""})
    text = render_images_lock([image])
    assert parse_images_lock(text.encode()) == {"engine": image}
    assert render_images_lock(parse_images_lock(text.encode()).values()) == text


def test_the_declared_base_wins_over_labels_and_labels_over_nothing(wanted):
    said = {
        "org.opencontainers.image.base.name": "registry.example/alpine:3",
        "org.opencontainers.image.base.digest": digest("c"),
    }
    assert locked(wanted, labels=said).base_digest == digest("b")
    loadgen = wanted.images[1]
    entry = lock_image(loadgen, {"linux/arm64": resolved(labels=said)}, "now")
    assert (entry.base_name, entry.base_digest) == ("registry.example/alpine:3", digest("c"))
    odd = lock_image(loadgen, {"linux/arm64": resolved(labels={**said, list(said)[1]: "latest"})}, "now")
    assert odd.base_digest == ""
    again = parse_images_lock(render_images_lock([odd]).encode())["loadgen"]
    assert (again.base_name, again.base_digest) == (odd.base_name, "")


def test_a_tag_that_moves_while_it_is_resolved_is_held(wanted):
    images = {"linux/arm64": resolved(index="1"), "linux/amd64": resolved("linux/amd64", index="9")}
    (found,) = problems(lock_image, wanted.images[0], images, "now")
    assert (found.code, found.exit_code) == ("E0624", ExitCode.HELD)


def test_what_the_lock_lacks_is_named_with_its_place(wanted):
    image = locked(wanted)
    found = check_images(wanted, {}, ["linux/arm64"])
    assert [each.summary for each in found] == [
        'image "engine" is not pinned',
        'image "loadgen" is not pinned',
    ]
    assert str(found[0].where) == "images.yml:3:3"
    assert found[0].mend == "Pin it: macfleet image pin"
    other = lock_image(wanted.images[1], {"linux/amd64": resolved("linux/amd64")}, "now")
    assert check_images(wanted, {"engine": image, "loadgen": other}, ["linux/amd64"]) == ()
    (lacking,) = check_images(wanted, {"engine": image, "loadgen": other}, ["linux/amd64", "linux/arm64"])
    assert lacking.summary == 'image "loadgen" is not pinned for linux/arm64'


def test_another_reference_behind_a_name_must_be_pinned_again(wanted, text_files):
    newer = load_images(text_files({"images.yml": IMAGES.replace("b10434", "b10500")}))
    (found, _) = check_images(newer, {"engine": locked(wanted)}, [])
    assert "images.yml names registry.example/llama-server:b10500" in found.summary


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("images: {engine: {refrence: a}}", "E0621", 'did you mean "reference"?'),
        ("images: {engine: {reference: registry.example/app}}", "E0621", "neither a tag nor a digest"),
        ("images: {engine: {reference: 'registry.example/App:1'}}", "E0621", "not a repository"),
        ("images: {engine: {reference: 'a:1', platforms: [arm64]}}", "E0621", "should match"),
        ("images: {Engine X: {reference: 'a:1'}}", "E0621", "Engine X"),
        ("images: {}\nregistries: {a: {plain_http: 'yes'}}", "E0621", "plain_http"),
        ("- x", "E0621", "must be a mapping"),
    ],
)
def test_wrong_images_are_refused_with_their_place(text, code, words, text_files):
    found = problems(load_images, text_files({"images.yml": text}))
    assert {(each.code, each.exit_code) for each in found} == {(code, ExitCode.USAGE)}
    assert {each.where.file for each in found} == {"images.yml"}
    assert words in " ".join(f"{each.summary} {each.mend}" for each in found)


def test_missing_files_say_what_to_do(text_files):
    assert problems(load_images, text_files({}))[0].code == "E0620"
    (found,) = problems(load_images_lock, text_files({}))
    assert (found.code, found.mend) == ("E0622", "macfleet image pin")


@pytest.mark.parametrize(
    "text", ["", "schema: 1", "schema: 1\nimages: {a: {index: x}}", "schema: 3\nimages: {}"]
)
def test_a_damaged_lock_is_refused(text):
    assert {each.code for each in problems(parse_images_lock, text.encode())} == {"E0623"}
