"""A step that failed: what it said, and what root alone may do and sudo asks a password for."""

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


@pytest.mark.parametrize(
    ("output", "why"),
    [
        (None, "The node gave no answer for it."),
        (ProbeOutput(1, ""), "exit status 1, and it said nothing"),
        (ProbeOutput(1, "said on stdout\n"), "exit status 1: said on stdout"),
        (ProbeOutput(1, "out", "said on stderr\n"), "exit status 1: said on stderr"),
        (ProbeOutput(137, "", cut=True), "exit status 137 (stopped at its limit), and it said nothing"),
    ],
)
def test_a_step_that_failed_is_told_with_what_it_said(output, why):
    found = step_failed("mac-01", "command.Mark", output)
    assert (found.code, found.why, found.address) == ("E0512", why, "command.Mark")
