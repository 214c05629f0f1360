"""What the tests of all packages share: which of them are left to `make test`, and how wide nothing is shown."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

HERE = Path(__file__).parent
# Everything in these folders but the named files starts registries, engines or a browser.
REAL_SERVERS = {"registry": {"test_image_reference.py"}, "loadgen": {"test_loadgen_sse.py"}, "browser": set()}
# These run real shells by the hundred; `make check` has one test or another of each of their subjects.
MANY_SHELLS = {
    "engine/test_engine_jobs.py",
    "engine/test_engine_lock.py",
    "resources/test_resource_archive.py",
    "resources/test_resource_edits.py",
    "resources/test_resource_user_default.py",
    "resources/test_resources_shells.py",
    "rollout/test_rollout_ahead.py",
    "rollout/test_rollout_service.py",
}
# One shell says whether a script works; the others whether it is plain.
OTHER_SHELLS = {"bash", "zsh"}


def pytest_configure():
    # A machine that is busy with something else makes no example wrong. Where CI judges a change, what it finds
    # is of the change: the same examples each time.
    settings.register_profile("macfleet", deadline=None, derandomize="CI" in os.environ)
    settings.load_profile("macfleet")
    # As wide as a pipe, whoever started the tests.
    os.environ.pop("COLUMNS", None)


def pytest_make_parametrize_id(val, argname):
    """Name no test by bytes: an archive holds the second it was made in, and two workers disagree on it."""
    return argname if isinstance(val, bytes) else None


def pytest_collection_modifyitems(items):
    for item in items:
        path = item.path.relative_to(HERE)
        pure = REAL_SERVERS.get(path.parts[0])
        serves = pure is not None and item.path.name not in pure
        if serves or path.as_posix() in MANY_SHELLS or _other_shell(item):
            item.add_marker(pytest.mark.slow)


def _other_shell(item):
    call = getattr(item, "callspec", None)
    return call is not None and bool(OTHER_SHELLS & set(call.id.split("-")))
