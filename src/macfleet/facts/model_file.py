"""What is known of a model file once its header is believed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model file whose content is what it says.

    Attributes:
        kind: ``gguf``, ``safetensors`` or ``text``.
        header: bytes of the header, which is all that was read.
        tensors: how many tensors the header names; 0 for text.
        version: version of the format, where it has one.
        architecture: what the header calls the model, such as ``llama``; empty when it does not say.
    """

    kind: str
    header: int
    tensors: int = 0
    version: int = 0
    architecture: str = ""

    def __str__(self) -> str:
        if self.kind == "text":
            return "text"
        version = f" v{self.version}" if self.version else ""
        name = f", {self.architecture}" if self.architecture else ""
        return f"{self.kind}{version}{name}, {self.tensors} tensors"
