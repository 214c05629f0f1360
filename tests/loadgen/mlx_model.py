"""A tiny random Llama in a folder as mlx-lm reads it: real inference, meaningless text, no hub."""

import json
import struct
from pathlib import Path

import numpy as np

from macfleet.lab.weights import _TEMPLATE, forbidden, vocabulary

WIDTH, HEADS, FEED, LAYERS = 64, 4, 128, 2


def write_model(folder: Path) -> None:
    """Write config, tokenizer and weights.

    Tokens that end an answer or are no whole characters have no row in the head: their logit is 0, and the
    greatest of four thousand random ones is above it. So every generated token is a piece of text.
    """
    folder.mkdir(parents=True)
    tokens, merges = vocabulary()
    _write_tokenizer(folder, tokens, merges)
    config = {
        "model_type": "llama",
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "intermediate_size": FEED,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "rms_norm_eps": 1e-5,
        "vocab_size": len(tokens),
        "rope_theta": 10000.0,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": False,
        "eos_token_id": 2,
    }
    (folder / "config.json").write_text(json.dumps(config))
    _write_weights(folder / "model.safetensors", tokens)


def _write_weights(path: Path, tokens: list[str]) -> None:
    random = np.random.default_rng(20260101)

    def drawn(*shape: int) -> np.ndarray:
        return random.normal(0, 0.2, shape).astype(np.float32)

    head = drawn(len(tokens), WIDTH)
    head[forbidden(tokens)] = 0
    found = {"model.embed_tokens.weight": drawn(len(tokens), WIDTH), "lm_head.weight": head}
    found["model.norm.weight"] = np.ones(WIDTH, np.float32)
    for layer in range(LAYERS):
        place = f"model.layers.{layer}"
        for name in ("input_layernorm", "post_attention_layernorm"):
            found[f"{place}.{name}.weight"] = np.ones(WIDTH, np.float32)
        for name in "qkvo":
            found[f"{place}.self_attn.{name}_proj.weight"] = drawn(WIDTH, WIDTH)
        for name, shape in (("gate", (FEED, WIDTH)), ("up", (FEED, WIDTH)), ("down", (WIDTH, FEED))):
            found[f"{place}.mlp.{name}_proj.weight"] = drawn(*shape)
    # Safetensors: the length of a JSON header, the header, the tensors behind each other.
    header, at = {}, 0
    for name, tensor in found.items():
        header[name] = {"dtype": "F32", "shape": tensor.shape, "data_offsets": [at, at + tensor.nbytes]}
        at += tensor.nbytes
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(t.tobytes() for t in found.values()))


def _write_tokenizer(folder: Path, tokens: list[str], merges: list[str]) -> None:
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    special = [
        {"id": number, "content": tokens[number], "special": True, "normalized": False}
        | dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
        for number in range(5)
    ]
    document = {
        "version": "1.0",
        "added_tokens": special,
        "pre_tokenizer": byte_level,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "vocab": {token: number for number, token in enumerate(tokens)},
            "merges": [merge.split(" ") for merge in merges],
            "unk_token": "<unk>",
        },
    }
    (folder / "tokenizer.json").write_text(json.dumps(document))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": _TEMPLATE}))
