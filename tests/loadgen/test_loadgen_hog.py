"""Other work of the machine is noticed before the first request, however fair its scheduler is in the window."""

import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

from macfleet.analysis.validity import WITHOUT_CPU
from macfleet.loadgen.lag import share_without_cpu

READY = "print('busy', flush=True)\nwhile True: pass"


@contextmanager
def busy_processes(count):
    hogs = [subprocess.Popen([sys.executable, "-c", READY], stdout=subprocess.PIPE) for _ in range(count)]
    try:
        for hog in hogs:
            hog.stdout.readline()
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.communicate()


def test_what_is_said_is_a_share():
    assert 0 <= share_without_cpu() < 1


@pytest.mark.slow
def test_a_machine_whose_every_core_is_busy_twice_over_is_always_noticed():
    with busy_processes(2 * (os.cpu_count() or 1)):
        assert min(share_without_cpu() for _ in range(5)) > WITHOUT_CPU
