"""How environments are held against each other, node by node."""

from dataclasses import replace

import pytest
from straight_line import IMAGE, PLATFORM, node

from macfleet.contract.releases import Release, ReleaseLock
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.image import LockedImage
from macfleet.rollout.promotion import ABSENT, Environment, compare, refuse_names, refuse_platforms
from macfleet.rollout.promotion_declared import Declared


def release(platforms=(PLATFORM,)):
    images = {each: replace(IMAGE, platform=each) for each in platforms}
    return Release({"engine": LockedImage("engine", IMAGE.reference, IMAGE.index, images)})


@pytest.mark.parametrize(
    ("source", "target", "found"),
    [
        ({"s": {"a": "1"}}, {"p": {"a": "1"}}, []),
        ({"s": {"a": "1"}}, {"p": {"a": "2"}}, [("a", "1", "2", ("p",))]),
        ({"s": {"a": "1"}}, {"p": {}}, [("a", "1", ABSENT, ("p",))]),
        ({"s": {}}, {"p": {"a": "1"}}, [("a", ABSENT, "1", ("p",))]),
        # A value that any node of the source has is known there; the target need not have all of them.
        ({"s": {"a": "1"}, "t": {"a": "2"}}, {"p": {"a": "2"}}, []),
        ({"s": {"a": "1"}, "t": {"a": "2"}}, {"p": {"a": "3"}}, [("a", "1 | 2", "3", ("p",))]),
        # Nodes of the target that differ alike are one difference.
        (
            {"s": {"a": "1"}},
            {"q": {"a": "2"}, "p": {"a": "2"}, "r": {"a": "3"}, "o": {"a": "1"}},
            [("a", "1", "2", ("p", "q")), ("a", "1", "3", ("r",))],
        ),
    ],
)
def test_a_node_of_the_target_differs_where_no_node_of_the_source_is_like_it(source, target, found):
    assert [(each.what, each.before, each.after, each.nodes) for each in compare(source, target)] == found


@pytest.mark.parametrize(
    ("pattern", "value", "what", "after", "allowed"),
    [
        ("engine.engine.-t", "8", "engine.engine.-t", "8", True),
        ("engine.engine.-t", "8", "engine.engine.-t", "12", False),
        ("engine.*", "*", "engine.bare.-t", "12", True),
        ("compose.engine.ports", '["127.0.0.1:1:1"]', "compose.engine.ports", '["127.0.0.1:1:1"]', True),
        ("mounts.vm.weights", "/a:ro", "mounts.vm.weights", "/a:ro", True),
        ("mounts.*", "/a*", "mounts.vm.weights", "/b:ro", False),
        ("*", "*", "mounts.vm.weights", "/b:ro", False),
    ],
)
def test_a_declared_difference_means_what_it_names(pattern, value, what, after, allowed):
    declared = Declared("*", "production", pattern, value, "why", None)
    assert declared.allows(what, after) is allowed


def test_a_declared_difference_speaks_of_its_environments_alone():
    declared = Declared("stag*", "production", "*", "*", "why", None)
    assert declared.is_between("staging", "production")
    assert not declared.is_between("production", "staging")
    assert not declared.is_between("testing", "production")


def test_each_image_and_platform_that_lacks_is_told_once(tmp_path):
    nodes = tuple(node(name, tmp_path, platform="linux/amd64") for name in ("mac-01", "mac-02"))
    target = Environment("production", nodes, ReleaseLock(release()))
    with pytest.raises(MacfleetError) as refused:
        refuse_platforms(target, release())
    assert [problem.code for problem in refused.value.diagnostics] == ["E0684"]
    refuse_platforms(target, release((PLATFORM, "linux/amd64")))


@pytest.mark.parametrize(
    ("source", "target", "codes"),
    [
        ("staging", "production", []),
        ("staging", "staging", ["E0681"]),
        ("a", "b", ["E0680", "E0680"]),
        ("a", "a", ["E0680"]),
    ],
)
def test_every_name_that_is_no_environment_is_told(source, target, codes):
    try:
        refuse_names(source, target, ("staging", "production"), {})
        found = []
    except MacfleetError as error:
        found = [problem.code for problem in error.diagnostics]
    assert found == codes
