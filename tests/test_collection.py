"""What the tests are called, which all workers that run them must agree on."""

import pytest


@pytest.mark.parametrize("content", [b"\x1f\x8b", b"\x1f\x8c"])
def test_no_test_is_named_by_bytes(content, request):
    assert content[:1] == b"\x1f"
    assert request.node.name.removeprefix("test_no_test_is_named_by_bytes") in {"[content0]", "[content1]"}
