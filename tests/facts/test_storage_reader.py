"""The reader really reads, here; what a container would do is a shell function that is its own."""

import subprocess
import sys

import pytest

from macfleet.facts.storage_reader import NO_PYTHON, bind_script, native_script, parse_reading


def run(script, **environment):
    return subprocess.run(
        ["/bin/sh", "-s"],
        input=script,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/bin:/bin", **environment},
    )


@pytest.fixture
def weights(tmp_path):
    file = tmp_path / "our weights" / "it's.gguf"
    file.parent.mkdir()
    file.write_bytes(bytes(3 * 2**20 + 17))
    return file


def test_a_file_is_read_in_both_ways(weights):
    done = run(native_script(str(weights), 0.02, ("/nowhere/python3", sys.executable)))
    found = parse_reading(done.stdout)
    assert found, done.stderr
    assert found.size == 3 * 2**20 + 17
    assert found.sequential > 0
    assert found.random > 0


def test_the_container_sees_the_files_folder_and_nothing_is_pulled(weights):
    docker = f"""docker() {{
  printf '%s|' "$@" >&2
  while [ "$1" != -v ]; do shift; done
  folder=${{2%:/weights:ro}}; while [ "$1" != - ]; do shift; done
  {sys.executable} - "$folder/${{2#/weights/}}" "$3"
}}
"""
    done = run(docker + bind_script(str(weights), 0.02, "registry.example/python@sha256:00"))
    assert parse_reading(done.stdout).size == 3 * 2**20 + 17
    assert "run|--rm|-i|--pull|never|--network|none|--read-only|" in done.stderr
    assert (
        f"{weights.parent}:/weights:ro|--entrypoint|python3|registry.example/python@sha256:00|" in done.stderr
    )


def test_a_node_without_a_python_says_so(weights):
    assert run(native_script(str(weights), 0.02, ("/nowhere/python3",))).returncode == NO_PYTHON


@pytest.mark.parametrize(
    "text", ["", "Traceback", '{"size": 3}', '{"size": 3, "sequential": 0, "random": 1.0}', "[1]"]
)
def test_anything_else_is_no_reading(text):
    assert parse_reading(text) is None
