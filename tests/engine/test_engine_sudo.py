"""What a step says that root alone may do and sudo asks a password for."""

from __future__ import annotations

import pytest

from macfleet.engine.refusals import step_failed
from macfleet.model.resource import ProbeOutput


@pytest.mark.parametrize(
    ("stderr", "asks"),
    [
        ("sudo: a password is required\n", True),
        ("sudo: sorry, you must have a tty\nsudo: a password is required\n", True),
        ("chown: ops: illegal user name\n", False),
    ],
)
def test_a_password_that_sudo_wants_is_met_with_what_to_write_into_sudoers(stderr, asks) -> None:
    found = step_failed("mac-01", "file./etc/x", ProbeOutput(1, "", stderr))
    assert ("NOPASSWD" in found.mend, "--resume" in found.mend) == (asks, True)
    assert stderr.strip() in found.why
