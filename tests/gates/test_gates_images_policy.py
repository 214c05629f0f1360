"""The gate that asks images for their base, age and version, and for no weights."""

from dataclasses import replace

import pytest

from macfleet.contract.images_policy import ImagePolicy, comparable
from macfleet.gates import GateContext, build_gate
from macfleet.model.contract import Bucket, ClientDiscipline, Contract, Slo
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.image import Blob, LockedImage, ResolvedImage
from macfleet.model.node import Arm, Endpoint, Node
from macfleet.model.stage import GateSpec, Outcome

NODE = Node("mac-01", Endpoint("mac-01"), arms=(Arm.CONTAINER,))
CONTRACT = Contract(
    "chat-small", 1, "9f" * 32, "5e" * 32, (), "m", 4, (1,), (Bucket("short", 512, 16, Slo(), ()),), "short", ClientDiscipline(), 60.0, {}
)  # fmt: skip
LABEL = "org.opencontainers.image."
LABELS = {
    f"{LABEL}base.name": "registry.example/debian:12",
    f"{LABEL}base.digest": f"sha256:{'a' * 64}",
    f"{LABEL}version": "b10434",
}
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
GIB = 2**30
IMAGE = ResolvedImage(
    "registry.example/llama-server:b10434",
    "registry.example/llama-server",
    *(f"sha256:{digit * 64}" for digit in "123"),
    "linux/arm64",
    (Blob(f"sha256:{'4' * 64}", GIB, OCI_LAYER),),
    labels=LABELS,
    created="2026-11-01T00:00:00Z",
)
DAY = 86400
BASED = {"base": "required"}


def judged(image=IMAGE, today=None, **params):
    gate = build_gate(GateSpec("images_policy", params))
    evidence = {} if today is None else {"images.today": {"seconds": today}}
    verdict = gate.judge(GateContext(NODE, CONTRACT, {"engine": image}), evidence)
    assert bool(verdict.mend) == (verdict.outcome is Outcome.HOLD)
    return verdict


def labelled(**labels):
    changed = {f"{LABEL}{name.replace('_', '.')}": value for name, value in labels.items()}
    return replace(IMAGE, labels={**LABELS, **changed})


def layer(size=1, media_type=OCI_LAYER):
    return replace(IMAGE, layers=(Blob(f"sha256:{'4' * 64}", size, media_type),))


@pytest.mark.parametrize(
    ("image", "params", "words"),
    [
        (IMAGE, BASED, ""),
        (replace(IMAGE, labels={}), {}, ""),
        (replace(IMAGE, labels={}), BASED, "records no base image"),
        (labelled(base_digest="sha256:short"), BASED, "records no base image"),
        (labelled(base_name=""), BASED, "records no base image"),
        (replace(IMAGE, labels={}), {**BASED, "bases": {"engine": "registry.example/debian:12"}}, ""),
        (layer(2 * GIB), {}, ""),
        (layer(2 * GIB + 1), {}, "more than 2 GiB: weights in it?"),
        (layer(5 * GIB), {"largest_layer": "6GiB"}, ""),
        (layer(media_type="application/vnd.docker.image.rootfs.diff.tar.gzip"), {}, ""),
        (layer(media_type=""), {}, ""),
        (layer(media_type="application/vnd.docker.ai.gguf.v3"), {}, "no layer of files"),
        (IMAGE, {"minimum": {"engine": "b8146"}}, ""),
        (labelled(version="b8146"), {"minimum": {"engine": "b8146"}}, ""),
        (labelled(version="b8145"), {"minimum": {"engine": "b8146"}}, "b8145 is older than b8146"),
        (labelled(version="b999"), {"minimum": {"engine": "b8146"}}, "b999 is older than b8146"),
        (labelled(version="0.11"), {"minimum": {"engine": "v0.11.0"}}, ""),
        (labelled(version="0.9.2"), {"minimum": {"engine": "0.11"}}, "older than 0.11"),
        (labelled(version="8200"), {"minimum": {"engine": "b8146"}}, "cannot be compared"),
        (labelled(version="main"), {"minimum": {"engine": "b8146"}}, "cannot be compared"),
        (labelled(version=""), {"minimum": {"engine": "b8146"}}, "does not say its version"),
        (IMAGE, {"minimum": {"engin": "b8146"}}, "engin: the policy names it, images.lock does not"),
    ],
)
def test_an_image_keeps_the_policy_or_says_what_it_lacks(image, params, words):
    verdict = judged(image, **params)
    assert (verdict.outcome is Outcome.HOLD) == bool(words)
    assert words in "".join(verdict.reasons)


@pytest.mark.parametrize(
    ("created", "days", "words"),
    [
        ("2026-11-01T00:00:00Z", 90, ""),
        ("2026-11-01T00:00:00.123456789Z", 90, ""),
        ("2026-11-01T00:00:00Z", 91, "built 91 days ago, more than 90"),
        ("1970-01-01T00:00:00Z", 0, "does not record when it was built"),
        ("", 0, "does not record when it was built"),
        ("yesterday", 0, "does not record when it was built"),
    ],
)
def test_an_image_may_be_only_so_old(created, days, words):
    import datetime as dt

    start = int(dt.datetime(2026, 11, 1, tzinfo=dt.UTC).timestamp())
    verdict = judged(replace(IMAGE, created=created), today=start + days * DAY, max_age="90d")
    assert (verdict.outcome is Outcome.HOLD) == bool(words)
    assert words in "".join(verdict.reasons)


def test_without_the_date_an_age_is_never_taken_for_young():
    assert judged(max_age="90d").outcome is Outcome.HOLD


def test_the_node_is_asked_only_when_age_matters():
    context = GateContext(NODE, CONTRACT, {"engine": IMAGE})
    assert build_gate(GateSpec("images_policy", {})).needs(context) == ()
    (request,) = build_gate(GateSpec("images_policy", {"max_age": "30d"})).needs(context)
    assert request.probe.script == "date -u +%s"


def test_a_lock_without_images_holds():
    verdict = build_gate(GateSpec("images_policy", {})).judge(GateContext(NODE, CONTRACT, {}), {})
    assert verdict.outcome is Outcome.HOLD


def test_what_images_yml_asks_counts_until_the_playbook_says_otherwise():
    old = {"engine": labelled(version="b8000", base_name="")}
    asked = GateContext(NODE, CONTRACT, old, policy=ImagePolicy(base="required", minimum={"engine": "b8146"}))
    verdict = build_gate(GateSpec("images_policy", {})).judge(asked, {})
    assert verdict.outcome is Outcome.HOLD
    assert [words in " ".join(verdict.reasons) for words in ("no base image", "older than b8146")] == [1, 1]
    lenient = build_gate(GateSpec("images_policy", {"base": "noted", "minimum": {}}))
    verdict = lenient.judge(asked, {})
    assert verdict.outcome is Outcome.PASS
    assert verdict.reasons[2] == "engine: nobody looked into its layers: macfleet image inspect"
    assert "no base image" in verdict.reasons[1]


@pytest.mark.parametrize(
    ("contents", "params", "words"),
    [
        ({}, {}, ""),
        ({}, {"contents": "required"}, "nobody looked into its layers"),
        ({"engine": ()}, {"contents": "required"}, ""),
        ({"engine": ("layer sha256:4 holds weights: a.gguf",)}, {}, "engine: layer sha256:4 holds weights"),
        ({"other": ("layer sha256:4 holds weights",)}, {}, ""),
    ],
)
def test_what_was_found_inside_of_an_image_counts(contents, params, words):
    context = GateContext(NODE, CONTRACT, {"engine": IMAGE}, contents=contents)
    verdict = build_gate(GateSpec("images_policy", params)).judge(context, {})
    assert (verdict.outcome is Outcome.HOLD) == bool(words)
    assert words in "".join(verdict.reasons)


@pytest.mark.parametrize(
    "params", [{"minimum": {"engine": "latest"}}, {"max_age": "old"}, {"largest_layer": -1}, {"age": 1}]
)
def test_wrong_parameters_are_refused(params):
    with pytest.raises(MacfleetError):
        build_gate(GateSpec("images_policy", params))


def test_versions_compare_by_number_within_their_letter():
    assert comparable("v0.11.2") == comparable("0.11.2-cpu") == ("", (0, 11, 2))
    assert comparable("b10434") == ("b", (10434,))
    assert comparable("latest") is None


def test_a_base_that_images_yml_declares_is_recorded():
    gate = build_gate(GateSpec("images_policy", BASED))
    bare = {"engine": replace(IMAGE, labels={})}
    declared = GateContext(NODE, CONTRACT, bare, bases={"engine": "registry.example/debian:12"})
    assert gate.judge(declared, {}).outcome is Outcome.PASS
    assert gate.judge(GateContext(NODE, CONTRACT, bare, bases={"other": "x"}), {}).outcome is Outcome.HOLD


@pytest.mark.parametrize(
    ("name", "digest", "labelled_as", "based"),
    [
        ("registry.example/debian:12", f"sha256:{'a' * 64}", "registry.example/debian:12", True),
        ("registry.example/debian:12", "", "", True),
        ("registry.example/debian:12", "", "registry.example/debian:12", False),
        ("", "", "", False),
    ],
)
def test_a_base_counts_by_digest_or_when_somebody_declared_it(name, digest, labelled_as, based):
    image = replace(IMAGE, labels={f"{LABEL}base.name": labelled_as} if labelled_as else {})
    locked = LockedImage("engine", "r", image.index, {"linux/arm64": image}, name, digest)
    assert locked.is_based is based
