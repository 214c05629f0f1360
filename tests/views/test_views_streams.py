"""Streams that nobody reads, or that lead to a full disk: what a command does goes on."""

import os
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from macfleet.model.diagnostic import MacfleetError
from macfleet.views.redacting_stream import hushed, nobody_reads
from macfleet.views.redaction import Redactor


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_work_goes_on_when_the_reader_of_what_it_tells_goes_away(monkeypatch, name):
    there, here = os.pipe()
    os.close(there)
    with open(here, "w", encoding="utf-8") as pipe:  # noqa: PTH123 (a descriptor)
        monkeypatch.setattr(sys, name, pipe)
        with hushed(Redactor()):
            stream = getattr(sys, name)
            assert not nobody_reads(stream)
            for _ in range(3):
                print("told", file=stream, flush=True)
            assert nobody_reads(stream)
        print("and after", file=pipe, flush=True)  # as the interpreter does at its end


@pytest.mark.parametrize(("name", "raised"), [("stdout", True), ("stderr", False)])
def test_a_full_disk_under_stdout_is_an_error_once_all_is_done(monkeypatch, name, raised):
    done = []
    with Path("/dev/full").open("w", encoding="utf-8") as full, ExitStack() as expected:
        monkeypatch.setattr(sys, name, full)
        if raised:
            expected.enter_context(pytest.raises(MacfleetError, match="could not be written: No space left"))
        with hushed(Redactor()):
            print("told", file=getattr(sys, name), flush=True)
            done.append(nobody_reads(getattr(sys, name)))
    assert done == [False]


def test_what_was_wrong_already_is_said_rather_than_that_it_could_not_be_written(monkeypatch):
    def told_and_broken():
        with hushed(Redactor()):
            print("told", flush=True)
            raise KeyError

    with Path("/dev/full").open("w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(KeyError):
            told_and_broken()
