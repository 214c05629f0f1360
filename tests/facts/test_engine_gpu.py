"""How engines are kept off the GPU, and which BLAS a running one has loaded."""

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macfleet.facts.engine_gpu import GpuOff, without_gpu
from macfleet.facts.engine_libraries import bare_libraries_script, container_libraries_script, parse_blas

LLAMA = ("--device", "none", "-ngl", "0")


@pytest.mark.parametrize(
    ("program", "tail"),
    [
        (("/opt/homebrew/bin/llama-server", "-m", "/m.gguf", "-ngl", "99"), LLAMA),
        (("/opt/homebrew/bin/llama", "serve", "-m", "/m.gguf"), LLAMA),
    ],
)
def test_llama_cpp_is_told_last_that_there_is_no_device(program, tail):
    found = without_gpu(program, {"HOME": "/Users/ops"})
    assert found == GpuOff((*program, *tail), {"HOME": "/Users/ops"}, "--device none -ngl 0")


@pytest.mark.parametrize("head", [("-m", "mlx_lm", "server"), ("-m", "mlx_lm.server")])
def test_mlx_takes_its_device_before_its_server_is_imported(head):
    found = without_gpu(("/opt/venv/bin/python3.12", *head, "--model", "/m", "--port", "8081"), {})
    assert found.program[:2] == ("/opt/venv/bin/python3.12", "-c")
    assert found.program[3:] == ("--model", "/m", "--port", "8081")
    code = found.program[2]
    compile(code, "start", "exec")
    assert code.index("set_default_device(mx.cpu)") < code.index("mlx_lm.server")


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (("/opt/homebrew/bin/ollama", "serve"), "num_gpu is a parameter of the model"),
        (("/Users/ops/.lmstudio/bin/lms", "server", "start"), "lms load --gpu off"),
        (("/opt/homebrew/bin/mlx_lm.server", "--model", "/m"), "python -m mlx_lm server"),
        (("/opt/homebrew/bin/llama", "bench"), "how llama is kept off the GPU is not known"),
        (("/usr/bin/python3", "serve.py"), "how python3 is kept off the GPU is not known"),
    ],
)
def test_an_engine_without_a_known_switch_says_so(program, words):
    assert words in without_gpu(program, {})


def test_what_the_inventory_declares_goes_before_what_is_known():
    found = without_gpu(("/opt/engine", "--fast"), {"A": "1"}, ("--cpu", "a b"), {"A": "2", "DEVICE": "cpu"})
    assert found.program == ("/opt/engine", "--fast", "--cpu", "a b")
    assert found.environment == {"A": "2", "DEVICE": "cpu"}
    assert found.told == "--cpu 'a b' A=2 DEVICE=cpu"


@given(st.lists(st.text(), min_size=1), st.dictionaries(st.text(), st.text()))
def test_any_program_ends_as_the_same_engine_or_as_words(program, environment):
    found = without_gpu(program, environment)
    assert isinstance(found, str) or found.program[0] == program[0]


@pytest.mark.parametrize(
    ("paths", "mac", "expected"),
    [
        (
            ["/opt/homebrew/Cellar/ggml/0.9/libexec/libggml-blas.so", "/x/libggml-cpu-apple_m4.so"],
            True,
            "Accelerate",
        ),
        (["/app/libggml-blas.so", "/usr/lib/aarch64-linux-gnu/libopenblas.so.0"], False, "OpenBLAS"),
        (["/app/libggml-blas.so"], False, "libggml-blas"),
        (["/app/libggml-cpu-armv8.2_1.so", "/app/libggml-base.so"], False, "none"),
        (["/opt/venv/lib/python3.12/site-packages/mlx/lib/libmlx.dylib"], True, "Accelerate"),
        (["/opt/mkl/lib/libmkl_core.so.2"], False, "MKL"),
        (["/opt/homebrew/bin/ollama"], True, ""),
        ([], True, ""),
    ],
)
def test_the_blas_backend_is_told_by_what_the_process_has_loaded(paths, mac, expected):
    assert parse_blas("\n".join(paths), mac=mac) == expected


@given(st.text(), st.booleans())
def test_any_text_is_read(text, mac):
    assert isinstance(parse_blas(text, mac=mac), str)


def test_the_libraries_of_the_daemons_own_process_are_asked():
    programs = """launchctl() { printf '\\tstate = running\\n\\tpid = 4242\\n'; }
lsof() { printf 'p4242\\nftxt\\nn/opt/lib/libggml-blas.so\\nn/usr/lib/dyld\\nn/opt/lib/libggml-blas.so\\n' | grep . ; [ "$2" = 4242 ]; }
"""
    script = programs + bare_libraries_script("a.b")
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "/opt/lib/libggml-blas.so\n"


def test_the_libraries_of_every_process_in_the_container_are_asked():
    programs = """docker() { case "$1" in compose) echo c0ffee; echo other;;
  exec) [ "$2" = c0ffee ] && printf '7f-8f r-xp 0 08:01 77   /app/libggml-cpu.so\\n7f-8f rw-p 0 0 0\\n';; esac; }
"""
    script = programs + container_libraries_script("chat", "engine")
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "/app/libggml-cpu.so\n"


def test_nothing_is_printed_where_nothing_runs():
    script = "launchctl() { return 113; }\n" + bare_libraries_script("a.b")
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == ""
