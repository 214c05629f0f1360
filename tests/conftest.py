"""What the tests of all packages share: which of them talk to real servers and so wait for `make test`."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent
# Everything in these folders but the named files starts registries, engines or a browser.
REAL_SERVERS = {"registry": {"test_image_reference.py"}, "loadgen": {"test_loadgen_sse.py"}, "browser": set()}


def pytest_collection_modifyitems(items):
    for item in items:
        pure = REAL_SERVERS.get(item.path.relative_to(HERE).parts[0])
        if pure is not None and item.path.name not in pure:
            item.add_marker(pytest.mark.slow)
