"""The VM's disk before an image comes: the steps' own scripts, over programs that answer what a test says."""

import os
import subprocess

import pytest

from macfleet.model.image import Blob, ResolvedImage
from macfleet.resources.docker_image import DockerImage

A, B = (f"sha256:{letter * 64}" for letter in "ab")
MIB = 2**20
IMAGE = ResolvedImage(
    "registry.example/engine:1", "registry.example/engine", A, A, B, "linux/arm64",
    (Blob(A, 100 * MIB), Blob(B, 10 * MIB)), (f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"),
)  # fmt: skip
DOCKER = """#!/bin/sh
case "$1 $2" in
"info --format") case $3 in *RootDir*) echo /var/lib/docker ;; *) echo '[["driver-type","x"]]' ;; esac ;;
"image ls") echo sha256:of-something ;;
"image inspect") printf '%s\\n' $HAS ;;
pull*) touch "$HOME/pulled" ;;
esac
"""
LIMACTL = """#!/bin/sh
[ -n "$FREE" ] || exit 1
[ "$*" = "shell --workdir / colima df -Pk /var/lib/docker" ] || exit 2
printf 'Filesystem 1024-blocks Used Available Capacity Mounted on\\n/dev/vdb1 1 1 %s 1%% /var\\n' "$FREE"
"""


@pytest.fixture
def run(tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("docker", DOCKER), ("limactl", LIMACTL)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)

    def run(script, **environment):
        values = {"HOME": str(tmp_path), "PATH": f"{programs}:{os.environ['PATH']}", **environment}
        return subprocess.run(
            ["/bin/sh", "-s", "part"], input=script, env=values, capture_output=True, text=True, check=False
        )

    return run


def step(*, pushed):
    image = DockerImage("engine", IMAGE, pushed=pushed)
    [found] = image.steps(image.change(None))
    return found


@pytest.mark.parametrize(
    ("free_mib", "has", "pulls"),
    [
        (441, "", True),
        (439, "", False),
        (439, IMAGE.diff_ids[1], True),  # only the other layer is to come: four times 100 MiB
        (399, IMAGE.diff_ids[1], False),
        (0, " ".join(IMAGE.diff_ids), True),
    ],
)
def test_a_pull_begins_only_where_the_disk_of_the_vm_can_hold_what_is_missing(
    run, tmp_path, free_mib, has, pulls
):
    done = run(step(pushed=False).script, FREE=str(free_mib * 1024), HAS=has)
    assert ((tmp_path / "pulled").exists(), done.returncode) == ((True, 0) if pulls else (False, 73))
    if not pulls:
        assert f"{free_mib} MiB are free" in done.stderr
        assert "macfleet image prune" in done.stderr


def test_a_vm_that_does_not_say_stops_no_pull(run, tmp_path):
    assert run(step(pushed=False).script, FREE="", HAS="").returncode == 0
    assert (tmp_path / "pulled").exists()


def test_a_push_is_told_of_the_disk_of_the_vm_where_that_says(run):
    assert (
        "room 12345 4 /var/lib/docker of the VM\n" in run(step(pushed=True).ask, FREE="12345", HAS="").stdout
    )
    silent = run(step(pushed=True).ask, FREE="", HAS="")
    assert silent.returncode == 0
    assert "room" not in silent.stdout
    assert "\nfree " in silent.stdout
