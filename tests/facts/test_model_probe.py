"""What is brought of model files from a node: only so much, by the tools of a Mac, judged here."""

import base64
import gzip
import os
import shutil
import subprocess

import pytest
from hostile_models import SOUND, array, gguf, pair, refused_by_content, safetensors, string, tensor
from hypothesis import given
from hypothesis import strategies as st

from macfleet.facts.model_probe import header_script, parse_headers
from macfleet.model.resource import ProbeOutput

MIB = 2**20
HOSTILE = "it's a $(touch pwned) *.gguf"


def run(paths, limit=32 * MIB, shell="dash"):
    done = subprocess.run(
        [shutil.which(shell), "-c", header_script([str(path) for path in paths], limit)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    return ProbeOutput(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("shell", ["dash", "bash", "zsh"])
def test_files_are_judged_by_what_the_node_prints(shell, tmp_path):
    contents = {
        HOSTILE: SOUND["gguf with a vocabulary"],
        "model.safetensors": SOUND["safetensors"],
        "config.json": SOUND["json"],
        "pytorch_model.bin": refused_by_content()["a PyTorch file"][0],
        "renamed.gguf": refused_by_content()["a pickle of protocol 0"][0],
        "empty": b"",
    }
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    paths = [tmp_path / name for name in (*contents, "nowhere")]
    found = parse_headers(run(paths, shell=shell), 32 * MIB)
    said = {path.name: found[str(path)] for path in paths}
    assert said[HOSTILE] == "ok gguf v3, 2 tensors"
    assert said["model.safetensors"] == "ok safetensors, 1 tensors"
    assert said["config.json"] == "ok text"
    assert said["pytorch_model.bin"].startswith("refused it is a zip archive with archive/data.pkl")
    assert said["renamed.gguf"] == "refused it is a pickle, which runs code when it is loaded"
    assert said["empty"] == "refused it is empty"
    assert said["nowhere"] == "missing"
    assert not list(tmp_path.rglob("pwned"))


def brought(output):
    packed = [line for line in output.stdout.splitlines() if not line.startswith(("file ", "missing "))]
    return [len(gzip.decompress(base64.b64decode(line))) for line in packed]


def test_of_safetensors_only_the_header_is_brought(tmp_path):
    header = safetensors(b"{" + b" " * 200_000 + b"}")
    (tmp_path / "a").write_bytes(header + os.urandom(MIB))
    assert brought(run([tmp_path / "a"])) == [len(header)]


def test_of_a_further_part_of_a_split_gguf_little_is_brought(tmp_path):
    part = gguf(pairs=(), tensors=(tensor("a", (2**22,)),), data=0)
    with (tmp_path / "part").open("wb") as file:
        file.write(part)
        file.truncate(len(part) + 2**24)
    output = run([tmp_path / "part"])
    assert brought(output) == [MIB + 256]
    assert parse_headers(output, 32 * MIB)[str(tmp_path / "part")] == "ok gguf v3, 1 tensors"


def with_a_vocabulary(mebibytes):
    count = mebibytes * MIB // 16
    vocabulary = array("tokenizer.ggml.tokens", 8, count, string("x" * 8) * count)
    return gguf(pairs=(vocabulary, *(pair(f"k{n}", 0, b"\0") for n in range(20))))


def test_all_files_together_bring_no_more_than_the_limit(tmp_path):
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_bytes(with_a_vocabulary(2))
    output = run(paths, limit=4 * MIB)
    assert sum(brought(output)) == 4 * MIB
    said = [parse_headers(output, 4 * MIB)[str(path)] for path in paths]
    assert all(each.startswith("refused its header goes on behind the first") for each in said)


def test_several_vocabularies_share_the_limit_and_small_files_leave_theirs(tmp_path):
    contents = {
        "a": with_a_vocabulary(1),
        "b": SOUND["gguf v3"],
        "c": with_a_vocabulary(2),
        "d": SOUND["json"],
    }
    paths = [tmp_path / name for name in contents]
    for path in paths:
        path.write_bytes(contents[path.name])
    found = parse_headers(run(paths, limit=6 * MIB), 6 * MIB)
    assert [found[str(path)][:7] for path in paths] == ["ok gguf", "ok gguf", "ok gguf", "ok text"]


def test_a_node_that_sends_more_than_was_asked_for_fills_no_memory():
    bomb = base64.b64encode(gzip.compress(bytes(50 * MIB))).decode()
    found = parse_headers(ProbeOutput(0, f"file {50 * MIB} /a\n{bomb}\n"), MIB)
    assert found == {"/a": "refused it is neither GGUF nor safetensors nor text"}


@pytest.mark.parametrize(
    "printed", ["sh: od: not found", "file 10 /a\n!!!", "file 10 /a\nQUJD", "file x /a\n", "file 3"]
)
def test_an_answer_that_is_not_understood_is_an_error(printed):
    with pytest.raises(ValueError, match=r"unexpected line|did not arrive"):
        parse_headers(ProbeOutput(0, printed), MIB)


@given(
    st.text()
    | st.lists(st.sampled_from(["file ", "10 ", "/a", "\n", "missing ", "0 ", "QUJD", "H4sI"])).map("".join)
)
def test_whatever_a_node_prints_is_a_state_or_a_refusal(text):
    try:
        found = parse_headers(ProbeOutput(0, text), MIB)
    except ValueError:
        return
    assert all(said.startswith(("ok ", "refused ", "missing")) for said in found.values())
