"""A small contract as text, edited by the tests."""

import copy
import json

import pytest
import yaml

PROMISE = {
    "contract": "chat-small",
    "version": 1,
    "routes": [{"path": "/v1/chat/completions", "stream": True, "usage": True}],
    "model": {"name": "small-chat"},
    "engine_slots": 4,
    "concurrency": [1, 4],
    "buckets": {
        "short": {
            "context": 512,
            "output": 16,
            "fixtures": "fixtures/short/*.json",
            "slo": {"ttft_p95": "800ms", "e2e_p95": "9s", "errors": "0.5%"},
        }
    },
    "primary": "short",
    "client": {"keep_alive": True, "retries": 0, "connect_timeout": "2s", "stall_timeout": "30s"},
    "duration": "30m",
    "nonce": "start",
}


def fixture_named(name, **body):
    return {
        "id": name,
        "body": {
            "model": "small-chat",
            "messages": [{"role": "user", "content": f"Say {name}."}],
            "max_tokens": 16,
            "temperature": 0.5,
            **body,
        },
        "expected_tokens": {"min": 16, "max": 16},
    }


class TextFiles:
    """The `Files` port over a dictionary."""

    def __init__(self, texts):
        self.texts = texts

    def read(self, path):
        try:
            text = self.texts[path]
        except KeyError:
            raise FileNotFoundError(path) from None
        return text if isinstance(text, bytes) else text.encode()

    def exists(self, path):
        return path in self.texts

    def list(self, folder):
        return tuple(sorted(path for path in self.texts if path.startswith(f"{folder}/")))


class Draft:
    """A contract folder that is still plain values."""

    def __init__(self):
        self.promise = copy.deepcopy(PROMISE)
        self.fixtures = {f"fixtures/short/{name}.json": fixture_named(name) for name in ("a", "b")}
        self.texts = {}

    @property
    def bucket(self):
        return self.promise["buckets"]["short"]

    @property
    def first(self):
        return self.fixtures["fixtures/short/a.json"]

    def files(self):
        texts = {"contract/contract.yml": yaml.safe_dump(self.promise, sort_keys=False)}
        texts |= {f"contract/{path}": json.dumps(value, indent=1) for path, value in self.fixtures.items()}
        return TextFiles(texts | self.texts)


@pytest.fixture
def draft():
    return Draft()


@pytest.fixture
def text_files():
    return TextFiles
