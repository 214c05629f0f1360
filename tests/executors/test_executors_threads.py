import signal
import subprocess
import sys
import threading

import pytest

from macfleet.executors.threads import ThreadExecutor


def test_answers_and_errors_come_back_in_the_items_order():
    def halve(number):
        if number % 2:
            raise ValueError(number)
        return number // 2

    found = ThreadExecutor().each((4, 3, 2), halve)
    assert list(found) == [4, 3, 2]
    assert (found[4], found[2]) == (2, 1)
    assert isinstance(found[3], ValueError)


def test_nothing_to_do_is_no_work():
    assert ThreadExecutor().each((), str) == {}


@pytest.mark.parametrize("forks", [1, 3])
def test_never_more_than_forks_work_at_once(forks):
    lock = threading.Lock()
    busy, most = 0, 0

    def work(_item):
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        with lock:
            busy -= 1

    ThreadExecutor(forks).each(tuple(range(40)), work)
    assert most <= forks


def test_items_really_work_side_by_side():
    meeting = threading.Barrier(4, timeout=20)
    assert list(ThreadExecutor(4).each("abcd", lambda _item: meeting.wait() >= 0).values()) == [True] * 4


def test_work_may_use_the_executor_again_without_waiting_for_itself():
    executor = ThreadExecutor(2)
    found = executor.each("ab", lambda item: dict(executor.each((f"{item}1", f"{item}2"), str.upper)))
    assert found == {"a": {"a1": "A1", "a2": "A2"}, "b": {"b1": "B1", "b2": "B2"}}


def test_an_interrupt_starts_nothing_new():
    started = []

    def work(item):
        started.append(item)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ThreadExecutor(1).each(tuple(range(50)), work)
    assert len(started) < 50


def test_an_interrupt_waits_for_nobody_who_still_works(tmp_path):
    script = f"""
import threading, _thread
from pathlib import Path
from macfleet.executors.threads import ThreadExecutor

def work(item):
    if item == "interrupting":
        _thread.interrupt_main()
        return
    threading.Event().wait()

try:
    ThreadExecutor(4).each(("silent", "interrupting", "silent too"), work)
finally:
    Path({str(tmp_path / "closed")!r}).touch()
"""
    done = subprocess.run([sys.executable, "-c", script], check=False, timeout=120, capture_output=True)
    assert (done.returncode, (tmp_path / "closed").exists()) == (-signal.SIGINT, True)
