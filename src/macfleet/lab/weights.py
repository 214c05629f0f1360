"""A tiny random language model in a GGUF file: real inference, meaningless text, always the same bytes."""

from __future__ import annotations

import hashlib
import itertools
import string
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VOCABULARY = 4096
_WIDTH, _HEADS, _FEED, _LAYERS, _CONTEXT = 128, 4, 256, 2, 8192
_SPECIALS = ("<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>")
_TEMPLATE = (
    "{% for message in messages %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_SEED = 20260101


@dataclass(frozen=True, slots=True)
class Weights:
    """A weights file: where it lies here, its size in bytes and its SHA-256."""

    path: Path
    size: int
    sha256: str


def write_weights(folder: Path) -> Weights:
    """Write the model to `folder` unless it is there, and return it.

    Token ids that would make invalid UTF-8 or end the answer get a constant penalty through residual
    dimension 0, which the weights keep at a constant: llama-server refuses text that is not UTF-8.
    """
    path = folder / f"small-chat-{_SEED}.gguf"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        _write(fresh)
        fresh.replace(path)
    content = path.read_bytes()
    return Weights(path, len(content), hashlib.sha256(content).hexdigest())


def vocabulary() -> tuple[list[str], list[str]]:
    """Return the tokens and the merges of a byte-level vocabulary of 4096."""
    alphabet = _byte_letters()
    tokens = [*_SPECIALS, *alphabet]
    merges = []
    letters = string.ascii_lowercase
    pairs = [(first, second) for first in letters for second in letters]
    candidates: list[tuple[str, str]] = [("Ġ", letter) for letter in string.ascii_letters]
    candidates += pairs
    candidates += [("Ġ" + first, second) for first, second in pairs]
    candidates += [("".join(pair), letter) for pair, letter in itertools.product(pairs, letters)]
    for first, second in candidates:
        if len(tokens) == VOCABULARY:
            break
        tokens.append(first + second)
        merges.append(f"{first} {second}")
    return tokens, merges


def forbidden(tokens: list[str]) -> list[int]:
    """Ids a chat must never contain: specials, and tokens that are not whole characters by themselves."""
    keep = {"Ġ", "Ċ"}

    def bad(token: str) -> bool:
        return any(0xA1 <= ord(letter) <= 0x143 and letter not in keep for letter in token)

    return [
        *range(len(_SPECIALS)),
        *(i for i, token in enumerate(tokens) if i >= len(_SPECIALS) and bad(token)),
    ]


def _byte_letters() -> list[str]:
    """GPT-2's printable stand-in for every byte, in byte order."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    table = {byte: chr(byte) for byte in plain} | {
        byte: chr(256 + index) for index, byte in enumerate(others)
    }
    return [table[byte] for byte in range(256)]


def _tensors(tokens: list[str]) -> dict[str, NDArray[np.float32]]:
    import numpy as np  # noqa: PLC0415 (heavy, and only for a new file)

    random = np.random.Generator(np.random.PCG64(_SEED))

    def normal(*shape: int, scale: float) -> NDArray[np.float32]:
        return (random.standard_normal(shape) * scale).astype(np.float32)

    embedding = normal(VOCABULARY, _WIDTH, scale=0.5)
    embedding[:, 0] = 1.0
    output = normal(VOCABULARY, _WIDTH, scale=0.3)
    output[:, 0] = 0.0
    output[forbidden(tokens), 0] = -30.0
    tensors = {"token_embd.weight": embedding, "output.weight": output}
    tensors["output_norm.weight"] = np.ones(_WIDTH, dtype=np.float32)
    for layer in range(_LAYERS):
        name = f"blk.{layer}"
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            tensors[f"{name}.{part}.weight"] = normal(_WIDTH, _WIDTH, scale=0.08)
        for part, shape in (
            ("ffn_gate", (_FEED, _WIDTH)),
            ("ffn_up", (_FEED, _WIDTH)),
            ("ffn_down", (_WIDTH, _FEED)),
        ):
            tensors[f"{name}.{part}.weight"] = normal(*shape, scale=0.08)
        tensors[f"{name}.attn_output.weight"][0, :] = 0.0
        tensors[f"{name}.ffn_down.weight"][0, :] = 0.0
        for part in ("attn_norm", "ffn_norm"):
            tensors[f"{name}.{part}.weight"] = np.ones(_WIDTH, dtype=np.float32)
    return tensors


def _write(path: Path) -> None:
    import gguf  # noqa: PLC0415 (heavy, and only for a new file)

    tokens, merges = vocabulary()
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("small-chat")
    writer.add_context_length(_CONTEXT)
    writer.add_embedding_length(_WIDTH)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(_FEED)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_rope_dimension_count(_WIDTH // _HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if index < len(_SPECIALS) else 1 for index in range(VOCABULARY)])
    writer.add_token_merges(merges)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_eot_token_id(4)
    writer.add_add_bos_token(value=False)
    writer.add_chat_template(_TEMPLATE)
    for name, tensor in _tensors(tokens).items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
