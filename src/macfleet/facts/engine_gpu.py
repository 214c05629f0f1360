"""How a bare engine is started with the GPU off, by what launchd starts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from macfleet.model.shell import words

# loadtest reference: `--device none` takes the GPU away, `-ngl 0` keeps layers from being put there; the last
# of several values counts, so that both may follow what the node's own arguments say.
_LLAMA = ("--device", "none", "-ngl", "0")
# mlx-lm takes its device when it is imported (ml-explore/mlx-lm, issue 235).
_MLX = (
    "import mlx.core as mx; mx.set_default_device(mx.cpu); "
    "import runpy; runpy.run_module('mlx_lm.server', run_name='__main__')"
)
_PYTHON = re.compile(r"python[0-9.]*")
_CANNOT: Mapping[str, str] = {
    "ollama": "Ollama's server has no switch for it: num_gpu is a parameter of the model",
    "lms": "LM Studio loads a model apart from its server (lms load --gpu off)",
    "llmster": "LM Studio loads a model apart from its server (lms load --gpu off)",
    "mlx_lm.server": "mlx_lm.server has no switch for it; started as python -m mlx_lm server it is known how",
}


@dataclass(frozen=True, slots=True)
class GpuOff:
    """The same engine with the GPU off.

    Attributes:
        program: program and arguments.
        environment: its environment variables.
        told: what is different from the bare engine, in words of a shell.
    """

    program: tuple[str, ...]
    environment: Mapping[str, str]
    told: str


def without_gpu(
    program: Sequence[str],
    environment: Mapping[str, str],
    arguments: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
) -> GpuOff | str:
    """Return how an engine is started with the GPU off, or in words why that is not known.

    Args:
        program: what launchd starts for the bare arm, at least the program.
        environment: its environment variables.
        arguments: declared for the node; they or `variables` stand in place of what is known of engines.
        variables: environment variables declared for the node.
    """
    variables = variables or {}
    if arguments or variables:
        told = [words(arguments), *(f"{name}={words([value])}" for name, value in sorted(variables.items()))]
        return GpuOff((*program, *arguments), {**environment, **variables}, " ".join(filter(None, told)))
    name = PurePosixPath(program[0]).name
    if name == "llama-server" or (name == "llama" and tuple(program[1:2]) in {("serve",), ("server",)}):
        return GpuOff((*program, *_LLAMA), dict(environment), words(_LLAMA))
    if _PYTHON.fullmatch(name) and (rest := _after_mlx(program[1:])) is not None:
        return GpuOff((program[0], "-c", _MLX, *rest), dict(environment), "mx.set_default_device(mx.cpu)")
    return _CANNOT.get(name, f"how {name} is kept off the GPU is not known")


def _after_mlx(arguments: Sequence[str]) -> tuple[str, ...] | None:
    """Return what follows ``-m mlx_lm server`` or ``-m mlx_lm.server``; None for anything else."""
    for head in (("-m", "mlx_lm", "server"), ("-m", "mlx_lm.server")):
        if tuple(arguments[: len(head)]) == head:
            return tuple(arguments[len(head) :])
    return None
