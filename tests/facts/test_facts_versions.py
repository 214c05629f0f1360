import pytest
from hypothesis import given
from hypothesis import strategies as st

from macfleet.facts.versions import (
    parse_applied,
    parse_docker,
    parse_formulae,
    parse_system,
    probes,
    versions,
)
from macfleet.model.resource import ProbeOutput

SYSTEM = "15.5\n24F74\narm64\n25769803776\n10\nApple M4\nMac16,10\n{kind}\n"


def printed(text, exit_status=0):
    return ProbeOutput(exit_status, text)


@pytest.mark.parametrize(("kind", "simulated"), [("mac", ""), ("lab", "lab")])
def test_a_mac_says_what_it_is_and_whether_it_is_simulated(kind, simulated):
    assert parse_system(printed(SYSTEM.format(kind=kind))) == {
        "macos": "15.5",
        "build": "24F74",
        "arch": "arm64",
        "memory": 25769803776,
        "cpus": 10,
        "chip": "Apple M4",
        "model": "Mac16,10",
        "simulated": simulated,
    }


@pytest.mark.parametrize(
    ("kind", "planted"),
    [("lab", None), ("lab host-memory vm-iowait", "host-memory vm-iowait"), ("mac x", None)],
)
def test_figures_that_the_lab_made_up_are_named(kind, planted):
    assert parse_system(printed(SYSTEM.format(kind=kind))).get("planted") == planted


@pytest.mark.parametrize(
    "output",
    [
        printed(""),
        printed(SYSTEM.format(kind="mac"), 1),
        printed("15.5\n24F74\narm64\n"),
        printed(SYSTEM.format(kind="mac") + "more\n"),
        printed(SYSTEM.format(kind="mac").replace("25769803776", "24 GB")),
    ],
)
def test_system_facts_that_are_not_understood_are_an_error(output):
    with pytest.raises(ValueError, match=r"eight lines|int"):
        parse_system(output)


@pytest.mark.parametrize(
    ("stdout", "found"),
    [
        ("", {}),
        ("colima/0.10.3\nlima/2.0.1\n", {"colima": "0.10.3", "lima": "2.0.1"}),
        ("colima/0.9.1\ncolima/0.10.3\n", {"colima": "0.10.3"}),  # numbers, not letters, decide
        ("colima/0.10.3\ncolima/0.9.1\n", {"colima": "0.10.3"}),
        ("llama.cpp/9800\nllama.cpp/10434\n", {"llama.cpp": "10434"}),
        ("docker/29.0.0\ndocker/29.0.0_1\n", {"docker": "29.0.0_1"}),  # Homebrew's own revision
        ("python@3.13/3.13.1\n", {"python@3.13": "3.13.1"}),
        ("x/HEAD-1a2b3c\nx/1.2\n", {"x": "HEAD-1a2b3c"}),
    ],
)
def test_the_newest_installed_version_of_a_formula_counts(stdout, found):
    assert parse_formulae(printed(stdout)) == found


@given(st.text(max_size=60))
def test_whatever_a_node_prints_parses_or_is_a_value_error(text):
    for parse in (parse_formulae, parse_docker, parse_applied):
        parse(printed(text))


@pytest.mark.parametrize(
    ("stdout", "found"),
    [
        ("29.0.0 linux/arm64\n", {"server": "29.0.0", "platform": "linux/arm64"}),
        ("", None),
        ("Cannot connect to the Docker daemon\n", None),
    ],
)
def test_an_engine_that_does_not_answer_is_absent(stdout, found):
    assert parse_docker(printed(stdout)) == found


def test_the_settings_a_vm_was_started_with_are_read_without_quotes():
    found = parse_applied(printed('mountType virtiofs\nvmType "vz"\nportForwarder ssh\n'))
    assert found == {"mountType": "virtiofs", "vmType": "vz", "portForwarder": "ssh"}
    assert parse_applied(printed("")) is None


def test_evidence_depends_on_the_versions_that_are_known():
    facts = {
        "facts.system": parse_system(printed(SYSTEM.format(kind="mac"))),
        "facts.formulae": {"colima": "0.10.3", "lima": "2.0.1", "wget": "1.25"},
        "facts.docker": None,
    }
    assert versions(facts) == {"macos": "15.5", "colima": "0.10.3", "lima": "2.0.1"}
    assert versions({}) == {}


def test_facts_are_cheap_reads():
    found = probes()
    assert set(found) == {"facts.system", "facts.formulae", "facts.docker", "facts.colima"}
    assert all(probe.limit <= 20 for probe in found.values())
    assert "brew " not in "".join(probe.script for probe in found.values())
