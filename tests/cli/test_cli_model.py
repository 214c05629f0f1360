"""`macfleet model`: what is pinned, what files are here and on nodes."""

from __future__ import annotations

import json
import pickle

import pytest

from macfleet.cli.fleet import FleetContext
from macfleet.cli.model_source import NodeModel
from macfleet.facts.model_bytes import ModelFileRefused
from macfleet.facts.model_files import inspect
from macfleet.testing import LocalTransport

HEADER = b'{"__metadata__":{}}'
SAFE = len(HEADER).to_bytes(8, "little") + HEADER
LOCK = "files:\n- {path: PATH, size: 27, sha256: " + "ab" * 32 + "}\n"


class Transports:
    """Every node is a folder of this machine."""

    def __init__(self, home):
        self.home = home

    def to(self, node):
        return LocalTransport(self.home)


@pytest.fixture
def weights(fleet, tmp_path, monkeypatch):
    """A safe model file that weights.lock pins, on nodes that are this machine."""
    path = tmp_path / "it's a model.safetensors"
    path.write_bytes(SAFE)
    (fleet / "weights.lock").write_text(LOCK.replace("PATH", f'"{path}"'))
    monkeypatch.setattr(FleetContext, "transports", Transports(tmp_path))
    return path


def test_a_safe_file_here_is_named_with_what_it_is(run, fleet, weights):
    code, out, _ = run("model", "verify", weights)
    assert code == 0
    assert out == f"✓ {weights}: safetensors, 0 tensors, header of 27 B\n"


def test_every_file_that_is_refused_or_missing_is_reported(run, fleet, tmp_path, weights):
    evil = tmp_path / "weights.safetensors"
    evil.write_bytes(pickle.dumps({"a": 1}))
    code, out, err = run("model", "verify", weights, evil, tmp_path / "nowhere")
    assert code == 2  # a name that is wrong at this machine is usage, and wins
    assert "safetensors, 0 tensors" in out
    assert f"{evil} must not be given to an engine: it is a pickle" in " ".join(err.split())
    assert "nowhere cannot be read" in " ".join(err.split())
    assert run("model", "verify", evil)[0] == 7


def test_without_files_the_nodes_are_asked_for_what_is_locked(run, fleet, weights):
    code, out, _ = run("model", "verify", "--node", "--output", "json")
    assert code == 0
    rows = json.loads(out)["files"]
    assert [(row["node"], row["path"], row["format"]) for row in rows] == [
        ("mac-01", str(weights), "safetensors"),
        ("mac-02", str(weights), "safetensors"),
    ]


def test_a_file_that_a_node_lacks_is_held(run, fleet, weights):
    code, _, err = run("model", "verify", "--node", "/no/such/model", "-l", "mac-01")
    assert code == 7
    assert "/no/such/model cannot be read" in err
    assert "mac-02" not in err


def test_naming_nothing_is_a_usage_error(run, fleet):
    assert run("model", "verify")[0] == 2


def test_the_locked_files_are_listed(run, fleet, weights):
    code, out, _ = run("model", "list")
    assert (code, out) == (0, f"abababababab       27 B  {weights}\n")
    (fleet / "weights.lock").unlink()
    assert run("model", "list")[1] == "weights.lock pins no file yet.\n"


def test_a_header_of_several_pieces_is_fetched_a_piece_at_a_time(tmp_path):
    header = b"{" + b" " * (3 * 2**20) + b"}"
    path = tmp_path / "model"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    transport = LocalTransport(tmp_path)
    assert inspect(NodeModel(transport, str(path))).header == len(header) + 8
    assert len(transport.scripts) == 3  # the size, what it is, and the rest


def test_a_file_that_shrinks_meanwhile_is_an_error(tmp_path):
    path = tmp_path / "model"
    path.write_bytes(b"GGUF" + bytes(5000))
    source = NodeModel(LocalTransport(tmp_path), str(path))
    path.write_bytes(b"GGUF")
    with pytest.raises(OSError, match="4 of 5004 bytes came"):
        inspect(source)


def test_a_file_of_a_node_is_judged_as_one_of_this_machine(tmp_path):
    path = tmp_path / "model"
    path.write_bytes(b"cposix\nsystem\n(S'id'\ntR.")
    with pytest.raises(ModelFileRefused, match="pickle"):
        inspect(NodeModel(LocalTransport(tmp_path), str(path)))
