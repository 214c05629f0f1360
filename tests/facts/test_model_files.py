"""Model files: real ones are known for what they are, and each lie ends in its own refusal."""

import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hostile_models import (
    BOOL,
    SOUND,
    STRING,
    array,
    gguf,
    lying_gguf,
    lying_safetensors,
    pair,
    pickle_in_safetensors,
    refused_by_content,
    safetensors,
    tensor,
    u64,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from macfleet.facts.gguf_types import TENSOR_TYPES
from macfleet.facts.model_bytes import HeaderBeyond, ModelFileRefused, PrefixSource
from macfleet.facts.model_files import inspect

MALFORMED = {**lying_gguf(), **lying_safetensors(), **refused_by_content()}
MIB = 2**20


def judge(data, size=None):
    return inspect(PrefixSource(data, len(data) if size is None else size))


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_file_is_accepted(name):
    found = judge(SOUND[name])
    assert found.kind in (name.split()[0], "text")


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_file_is_refused_for_its_own_reason(name):
    data, words = MALFORMED[name]
    with pytest.raises(ModelFileRefused) as caught:
        judge(data)
    message = str(caught.value)
    assert words in message
    assert message.isprintable()
    assert len(message) < 300


def test_the_table_holds_far_more_than_forty_lies():
    assert len(lying_gguf()) > 40
    assert len(lying_safetensors()) > 30


@pytest.mark.parametrize("name", [name for name in SOUND if name not in ("text", "json")])
def test_a_sound_file_cut_anywhere_is_refused(name):
    data = SOUND[name]
    accepted = [cut for cut in range(4, len(data)) if is_accepted(data[:cut])]
    padding = [cut for cut in accepted if set(data[cut:]) == {0}]  # the last tensor need not be padded
    assert accepted == padding
    assert len(padding) < 64


def is_accepted(data):
    try:
        judge(data)
    except ModelFileRefused:
        return False
    return True


def test_a_model_written_by_the_library_engines_use_is_accepted(tmp_path):
    import gguf as library
    import numpy as np

    path = tmp_path / "real.gguf"
    writer = library.GGUFWriter(str(path), "llama")
    writer.add_context_length(128)
    writer.add_token_list(["a", "b", "ü"])
    writer.add_token_types([1, 1, 3])
    writer.add_token_scores([0.0, -1.0, 0.5])
    writer.add_add_bos_token(value=False)
    writer.add_tensor("token_embd.weight", np.ones((3, 5), dtype=np.float32))
    writer.add_tensor("output.weight", np.ones((2, 3, 7), dtype=np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = judge(path.read_bytes())
    assert (found.kind, found.version, found.tensors, found.architecture) == ("gguf", 3, 2, "llama")


def test_the_model_of_the_lab_is_accepted(tmp_path):
    from macfleet.lab.weights import write_weights

    data = write_weights(tmp_path).path.read_bytes()
    found = judge(data)
    assert str(found) == "gguf v3, llama, 21 tensors"
    assert judge(data[: found.header], len(data)) == found  # the header alone is enough


def test_tensor_types_are_those_of_the_library():
    from gguf.constants import GGML_QUANT_SIZES

    known = {int(kind): size for kind, size in GGML_QUANT_SIZES.items()}
    for number, kind in TENSOR_TYPES.items():
        if number in known:
            assert (kind.block, kind.size) == known[number], kind.name
    assert set(known) - set(TENSOR_TYPES) <= {9, 15}  # what ggml keeps while it computes


def test_a_header_that_goes_on_behind_the_prefix_is_not_believed():
    data = SOUND["gguf with a vocabulary"]
    header = judge(data).header
    assert judge(data[:header], len(data))
    with pytest.raises(HeaderBeyond, match="first 120 bytes"):
        judge(data[:120], len(data))


class Counting(PrefixSource):
    reads = 0

    def read(self, offset, count):
        found = super().read(offset, count)
        self.reads += len(found)
        return found


def test_only_the_header_is_read_of_a_large_file():
    header = gguf(tensors=(tensor("a", (2**30,)),), data=0)
    source = Counting(header, len(header) + 2**32)
    assert inspect(source).tensors == 1
    assert source.reads <= 4 * len(header)


def test_a_header_length_of_opcodes_alone_is_no_pickle():
    length = int.from_bytes(b"\x93\x62\x01", "little")  # STACK_GLOBAL and BUILD with nothing to work on
    assert judge(safetensors(b"{}" + b" " * (length - 2))).kind == "safetensors"


def test_a_safetensors_pickle_is_refused_as_what_runs_code():
    with pytest.raises(ModelFileRefused, match="pickle"):
        judge(pickle_in_safetensors() + bytes(100_000))


WORST = {
    "metadata of many keys": lambda: safetensors(
        b'{"__metadata__":{' + b",".join(b'"%d":""' % n for n in range(1_900_000)) + b"}}"
    ),
    "many tensors": lambda: safetensors(
        b"{"
        + b",".join(b'"%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}' % n for n in range(199_000))
        + b"}"
    ),
    "many empty strings": lambda: gguf(pairs=(array("k", STRING, 4 * MIB, bytes(32 * MIB)),)),
    "one endless name": lambda: safetensors(b'{"' + b"a" * 20 * MIB + b'":{}}'),
    "one name of escapes": lambda: safetensors(b'{"' + b"\\n" * 10 * MIB + b'":{}}'),
    "many keys": lambda: gguf(
        pairs=[pair(f"{n:0200d}", BOOL, b"\0") for n in range(65_000)], tensors=(), data=0
    ),
}


CONFINED = """
import resource, sys
from pathlib import Path
from macfleet.facts.model_bytes import ModelFileRefused
from macfleet.facts.model_files import inspect

class File:
    def __init__(self, path):
        self.file, self.size = path.open("rb"), path.stat().st_size
    def read(self, offset, count):
        self.file.seek(offset)
        return self.file.read(count)

pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + 100_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    print(inspect(File(Path(sys.argv[1]))))
except ModelFileRefused as refused:
    print(refused)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", WORST)
def test_no_file_takes_more_than_a_hundred_megabytes(name, tmp_path):
    (tmp_path / "model").write_bytes(WORST[name]())
    done = subprocess.run(
        [sys.executable, "-c", CONFINED, str(tmp_path / "model")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-1000:]
    assert done.stdout


# Whatever comes, the answer is a model file or a refusal.


@given(st.binary(max_size=400))
def test_any_bytes_end_in_an_answer(data):
    is_accepted(data)


@given(
    st.sampled_from(sorted(SOUND)),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=6),
)
def test_a_sound_file_with_any_bytes_changed_ends_in_an_answer(name, edits):
    data = bytearray(SOUND[name])
    for place, value in edits:
        data[place % len(data)] = value
    is_accepted(bytes(data))


SPECIAL = st.sampled_from([0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**61, 2**63 - 1, 2**63, 2**64 - 32, 2**64 - 1])


@given(st.sampled_from([n for n in SOUND if n.startswith("gguf")]), st.integers(8, 400), SPECIAL)
def test_extreme_numbers_anywhere_in_a_header_end_in_an_answer(name, place, number):
    data = SOUND[name]
    place %= len(data)
    is_accepted((data[:place] + u64(number) + data[place + 8 :])[: len(data)])


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))  # fmt: skip
def test_any_json_as_a_header_ends_in_an_answer(document):
    is_accepted(safetensors(document if isinstance(document, dict) else {"a": document}))


FUZZ = """
import random, sys, time
sys.path.insert(0, sys.argv[1])
from hostile_models import SOUND, lying_gguf, lying_safetensors, refused_by_content
from macfleet.facts.model_bytes import ModelFileRefused, PrefixSource
from macfleet.facts.model_files import inspect
seeds = [*SOUND.values()] + [d for t in (lying_gguf(), lying_safetensors(), refused_by_content()) for d, _ in t.values()]
seeds = [d for d in seeds if len(d) < 20_000]
random.seed(int(sys.argv[3]))
end, tried = time.monotonic() + float(sys.argv[2]), 0
while time.monotonic() < end:
    data = bytearray(random.choice(seeds))
    for _ in range(random.randint(1, 8)):
        place, how = random.randrange(len(data) + 1), random.randrange(5)
        if how == 0 and data: data[place % len(data)] = random.randrange(256)
        elif how == 1: del data[place:place + random.randrange(16)]
        elif how == 2: data[place:place] = random.randbytes(random.randrange(16))
        elif how == 3: data[place:place + 8] = random.choice([0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1]).to_bytes(8, 'little')
        else:
            other = random.choice(seeds); data[place:] = other[random.randrange(len(other) + 1):]
    size = len(data) + random.choice([0, 0, 0, 1, 2**40])
    try:
        inspect(PrefixSource(bytes(data), size))
    except ModelFileRefused as refused:
        assert str(refused).isprintable(), str(refused)
    tried += 1
print(tried)
"""


@pytest.mark.slow
def test_thirty_seconds_of_damaged_files_end_in_answers_within_a_hundred_megabytes():
    before = time.monotonic()
    limit = 400 * MIB  # of address space, the interpreter and its libraries among it

    def confine():
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    done = subprocess.run(
        [sys.executable, "-c", FUZZ, str(Path(__file__).parent), "30", str(int(before))],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        preexec_fn=confine,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 1000


@settings(max_examples=30)
@given(st.integers(0, 5), st.binary(max_size=30))
def test_what_follows_a_pickles_call_never_hides_it(protocol, tail):
    data, _ = refused_by_content()[f"a pickle of protocol {protocol}"]
    with pytest.raises(ModelFileRefused, match="pickle"):
        judge(data[:-1] + tail)


def verdict_of(data, size):
    try:
        return str(judge(data, size))
    except HeaderBeyond:
        return "beyond"
    except ModelFileRefused as refused:
        return f"refused: {refused}"


@pytest.mark.parametrize("name", [*SOUND, *MALFORMED])
def test_a_file_brought_in_part_is_never_judged_otherwise_than_whole(name):
    data = SOUND[name] if name in SOUND else MALFORMED[name][0]
    whole = verdict_of(data, len(data))
    cuts = {*range(min(len(data), 400)), *range(0, len(data), max(1, len(data) // 50))}
    found = {verdict_of(data[:cut], len(data)) for cut in cuts}
    assert found <= {whole, "beyond"}


def test_a_vocabulary_over_many_windows_is_read_to_the_byte():
    tokens = [f"token{number}" for number in range(30_000)]
    text = b"".join(u64(len(token)) + token.encode() for token in tokens)
    vocabulary = array("tokenizer.ggml.tokens", STRING, len(tokens), text)
    data = gguf(pairs=(vocabulary,), tensors=(tensor("a"),), data=32)
    assert len(data) > 6 * 2**16
    assert verdict_of(data, len(data)) == "gguf v3, 1 tensors"
    lying = data.replace(u64(10) + b"token20000", u64(2**40) + b"token20000", 1)
    assert lying != data
    assert verdict_of(lying, len(lying)).startswith("refused: array tokenizer.ggml.tokens")
