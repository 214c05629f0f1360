import gzip
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from stand_in import stand_in_wheels

from macfleet.loadgen import entry
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.load import FixtureBody, LoadSpec
from macfleet.sources.archive import build_archive, ensure_archive
from macfleet.sources.wheels import LockedWheel, ensure_wheels, read_lock
from macfleet.testing.golden_engine import GoldenEngine, scheduled


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> Path:
    return stand_in_wheels(tmp_path_factory.mktemp("wheels"))


def names(path: Path) -> list[str]:
    with tarfile.open(path) as tar:
        return tar.getnames()


def test_equal_inputs_give_equal_bytes_and_the_digest_is_of_the_tar(wheels, tmp_path):
    one = build_archive(wheels, tmp_path / "a" / "one.tar.gz")
    two = build_archive(wheels, tmp_path / "two.tar.gz")
    assert one.path.read_bytes() == two.path.read_bytes()
    assert one.digest == two.digest == hashlib.sha256(gzip.decompress(one.path.read_bytes())).hexdigest()


def test_the_archive_holds_client_model_and_libraries_and_nothing_else(wheels, tmp_path):
    found = names(build_archive(wheels, tmp_path / "a.tar.gz").path)
    assert found == sorted(found)
    assert {name.split("/")[0] for name in found} == {"lib", "macfleet", "run.py"}
    assert {name.split("/")[1] for name in found if name.startswith("macfleet/")} == {
        "__init__.py",
        "loadgen",
        "model",
    }
    systems = ("darwin-arm64", "linux-aarch64", "linux-x86_64")
    assert {name.split("/")[1] for name in found if name.startswith("lib/")} == {
        f"cp3{minor}-{system}" for minor in (11, 12, 13, 14) for system in systems
    }
    assert not [name for name in found if name.endswith((".pyx", ".pyc"))]
    assert [name for name in found if name.endswith("LICENSE")]


@pytest.mark.parametrize("processes", [1, 2])
def test_the_archive_runs_alone_and_knows_its_digest(wheels, tmp_path, processes):
    archive = build_archive(wheels, tmp_path / "a.tar.gz")
    with tarfile.open(archive.path) as tar:
        tar.extractall(tmp_path / "there", filter="data")
    with GoldenEngine(scheduled(tokens=3)) as engine:
        body = {"stream": True, "messages": [{"role": "user", "content": "a"}]}
        fixtures = (FixtureBody("f", body),)
        spec = LoadSpec(
            engine.url, "/v1", fixtures, "c", 0, "bare", 2, 30.0, max_requests=2, processes=processes
        )
        # Without site packages: what is not in the archive is not there.
        command = [
            sys.executable,
            "-I",
            "-S",
            str(tmp_path / "there" / "run.py"),
            "measure",
            "--archive",
            archive.digest,
        ]
        ended = subprocess.run(
            command, input=json.dumps(spec.document()).encode(), capture_output=True, check=False
        )
    assert ended.returncode == 0, ended.stderr
    lines = [json.loads(line) for line in ended.stdout.splitlines() if line]
    assert [line["sample"]["tokens"] for line in lines if "sample" in line] == [3, 3]
    assert lines[-1]["report"]["archive"] == archive.digest
    assert len(lines[-1]["report"]["processes"]) == (processes if processes > 1 else 0)


def test_a_python_the_archive_has_no_libraries_for_says_so(wheels, tmp_path):
    with tarfile.open(build_archive(wheels, tmp_path / "a.tar.gz").path) as tar:
        tar.extractall(tmp_path / "there", filter="data")
    shutil.rmtree(entry.library(tmp_path / "there"))
    command = [sys.executable, "-I", str(tmp_path / "there" / "run.py"), "probe"]
    ended = subprocess.run(command, input=b"{}", capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (entry.DOES_NOT_FIT, b"")
    assert b"no libraries for Python 3." in ended.stderr


@pytest.mark.parametrize(
    ("name", "python", "system"),
    [
        ("httptools-0.9.0-cp311-cp311-macosx_11_0_arm64.whl", "cp311", "darwin-arm64"),
        (
            "httptools-0.9.0-cp314-cp314-manylinux2014_aarch64.manylinux_2_17_aarch64.whl",
            "cp314",
            "linux-aarch64",
        ),
        ("httptools-0.9.0-cp312-cp312-manylinux1_x86_64.manylinux_2_5_x86_64.whl", "cp312", "linux-x86_64"),
    ],
)
def test_a_wheels_name_says_where_it_runs(name, python, system):
    wheel = LockedWheel("httptools==0.9.0", name, "")
    assert (wheel.python, wheel.system) == (python, system)


def test_the_lock_names_hashes_and_no_addresses():
    text = (Path(entry.__file__).parent / "wheels.lock").read_text()
    wheels = read_lock(text)
    assert len(wheels) == 12
    assert all(len(wheel.sha256) == 64 and wheel.requirement.startswith("httptools==") for wheel in wheels)
    assert "://" not in text
    requirements = (Path(__file__).parents[2] / "requirements.txt").read_text()
    assert f"{wheels[0].requirement} \\" in requirements
    assert all(f"sha256:{wheel.sha256}" in requirements for wheel in wheels)


WHEEL = LockedWheel(
    "thing==1", "thing-1-cp311-cp311-macosx_11_0_arm64.whl", hashlib.sha256(b"good").hexdigest()
)


class FakePip:
    """Answers a download with given bytes, or with words on stderr."""

    def __init__(self, content: bytes | None, words="") -> None:
        self.calls: list[list[str]] = []
        self._content = content
        self._words = words

    def __call__(self, arguments):
        self.calls.append(list(arguments))
        if self._content is not None:
            (Path(arguments[arguments.index("--dest") + 1]) / WHEEL.name).write_bytes(self._content)
        return subprocess.CompletedProcess(arguments, 0 if self._content else 1, "", self._words)


def test_a_wheel_is_fetched_once_by_hash_for_its_own_platform(tmp_path):
    pip = FakePip(b"good")
    ensure_wheels([WHEEL], tmp_path, pip)
    ensure_wheels([WHEEL], tmp_path, pip)
    (call,) = pip.calls
    assert call[call.index("--platform") :][:2] == ["--platform", "macosx_11_0_arm64"]
    assert call[call.index("--python-version") :][:2] == ["--python-version", "311"]
    assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} <= set(call)
    assert sorted(path.name for path in tmp_path.iterdir()) == [WHEEL.name]


def test_a_wheel_with_another_hash_is_not_used_and_not_fetched_is_explained(tmp_path):
    for pip, words in (
        (FakePip(b"bad"), "another file"),
        (FakePip(None, "WARNING: x\nno network"), "no network"),
    ):
        with pytest.raises(MacfleetError) as caught:
            ensure_wheels([WHEEL, WHEEL], tmp_path, pip)
        assert [found.code for found in caught.value.diagnostics] == ["E0908"] * 2
        assert words in caught.value.diagnostics[0].summary
        assert WHEEL.sha256 in caught.value.diagnostics[0].mend


def test_a_damaged_wheel_in_the_cache_is_fetched_again(tmp_path):
    (tmp_path / WHEEL.name).write_bytes(b"damaged")
    ensure_wheels([WHEEL], tmp_path, FakePip(b"good"))
    assert (tmp_path / WHEEL.name).read_bytes() == b"good"


def test_an_archive_that_is_there_is_not_built_again(wheels, tmp_path, monkeypatch):
    def intact(*_arguments):
        return True

    monkeypatch.setattr("macfleet.sources.wheels.is_intact", intact)
    shutil.copytree(wheels, tmp_path / "wheels")
    first = ensure_archive(tmp_path)
    stamp = first.path.stat().st_mtime_ns
    assert ensure_archive(tmp_path) == first
    assert first.path.stat().st_mtime_ns == stamp
    with tarfile.open(fileobj=io.BytesIO(first.path.read_bytes())) as tar:
        assert tar.getmember("run.py").mtime == 0
