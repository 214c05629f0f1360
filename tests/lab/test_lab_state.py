"""What a lab is told, where it lies, and what it records."""

from __future__ import annotations

import dataclasses

import pytest

from macfleet.lab.state import (
    LabConfig,
    LabImages,
    LabNode,
    LabState,
    LabStatus,
    LabWeights,
    NodeStatus,
    check_config,
    read_state,
    state_file,
    write_state,
)
from macfleet.model.diagnostic import MacfleetError

STATE = LabState(
    name="macfleet-lab",
    subnet="172.28.90.0/24",
    platform="linux/amd64",
    nodes=(
        LabNode("mac-01", "172.28.90.11", 22, "ops", "macfleet-lab-mac-01"),
        LabNode("mac-02", "172.28.90.12", 22, "ops", "macfleet-lab-mac-02"),
    ),
    key="/fleet/.macfleet/lab/id_ed25519",
    known_hosts="/fleet/.macfleet/lab/known_hosts",
    registry="172.28.90.5:5000",
    images=LabImages("e@sha256:1", "p@sha256:2", "f:b1", "e:latest"),
    weights=LabWeights("/Users/ops/models/small-chat.gguf", 5, "ab"),
)


def test_addresses_are_fixed_by_the_subnet_and_the_index(tmp_path):
    config = LabConfig(tmp_path, nodes=3, subnet="172.28.91.0/24")
    assert config.registry_address == "172.28.91.5"
    assert [config.node_address(index) for index in range(3)] == [
        "172.28.91.11",
        "172.28.91.12",
        "172.28.91.13",
    ]
    assert config.node_names() == ("mac-01", "mac-02", "mac-03")


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        ({"nodes": 0}, ["E0901"]),
        ({"nodes": 41}, ["E0901"]),
        ({"subnet": "172.28.90.0/16"}, ["E0902"]),
        ({"subnet": "somewhere"}, ["E0902"]),
        ({"subnet": "fd00::/24"}, ["E0902"]),
        ({"nodes": 99, "subnet": ""}, ["E0901", "E0902"]),
    ],
)
def test_what_cannot_become_a_lab_is_refused_with_every_reason(tmp_path, change, codes):
    config = dataclasses.replace(LabConfig(tmp_path), **change)
    with pytest.raises(MacfleetError) as caught:
        check_config(config)
    assert [found.code for found in caught.value.diagnostics] == codes


def test_a_recorded_state_is_read_back_as_it_was(tmp_path):
    config = LabConfig(tmp_path / "deep" / "lab")
    assert read_state(config) is None
    write_state(config, STATE)
    assert read_state(config) == STATE


def test_a_damaged_record_is_a_diagnostic_with_its_place(tmp_path):
    config = LabConfig(tmp_path)
    state_file(config).write_text('{"name": 3}')
    with pytest.raises(MacfleetError) as caught:
        read_state(config)
    (found,) = caught.value.diagnostics
    assert found.code == "E0903"
    assert found.where is not None
    assert found.where.file.endswith("lab.json")


@pytest.mark.parametrize(
    ("engine", "registry", "nodes", "up"),
    [
        (True, True, [(True, True)], True),
        (True, True, [(True, True), (True, False)], False),
        (True, True, [(False, False)], False),
        (True, False, [(True, True)], False),
        (False, False, [], False),
        (True, True, [], False),
    ],
)
def test_a_lab_is_up_only_when_everything_answers(engine, registry, nodes, up):
    rows = tuple(NodeStatus(f"mac-{index}", "", *row) for index, row in enumerate(nodes))
    assert LabStatus(engine, registry, rows).up is up
