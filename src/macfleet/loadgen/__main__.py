"""The load client as a program: one JSON job on stdin, JSON on stdout, prose on stderr."""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
from collections.abc import Sequence

from macfleet.loadgen import ping, probe
from macfleet.loadgen.document import read_spec
from macfleet.loadgen.measure import measure_lines
from macfleet.loadgen.several import PROGRAM, run_share
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.exit_codes import ExitCode

# EX_IOERR of sysexits.h: whoever read the records is gone.
NOBODY_READS = 74


def main(arguments: list[str] | None = None, program: Sequence[str] = PROGRAM) -> int:
    """Run one job and return the exit code; `program` is what started this one, for further processes."""
    options = _parser().parse_args(arguments)
    if options.work == "share":
        # Whoever shares out begins for all processes at once, when all of them are there.
        sys.stdout.buffer.write(b"\n")
        sys.stdout.buffer.flush()
    job = sys.stdin.buffer.read()
    try:
        _run(options, job, program)
    except MacfleetError as error:
        for diagnostic in error.diagnostics:
            sys.stderr.write(f"{diagnostic.code}: {diagnostic.summary}\n")
        return int(error.exit_code)
    except BrokenPipeError:
        # The interpreter flushes stdout once more when it exits; a pipe without a reader would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOBODY_READS
    return int(ExitCode.DONE)


def _run(options: argparse.Namespace, job: bytes, program: Sequence[str]) -> None:
    out = sys.stdout.buffer
    if options.work in ("measure", "share"):
        # A collection in the window would look like a late loop; the client makes next to no cycles.
        gc.collect()
        gc.freeze()
        gc.disable()
    if options.work == "share":
        run_share(job, out)
        return
    if options.work == "measure":
        spec = read_spec(job)
        measure_lines(spec, out, archive=options.archive, events=options.events, program=program)
        return
    if options.work == "probe":
        document = probe.probe(probe.read_job(job)).document()
    else:
        document = ping.ping(ping.read_job(job)).document()
    out.write(json.dumps(document).encode() + b"\n")
    out.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="loadgen", description=__doc__)
    works = parser.add_subparsers(dest="work", required=True)
    measuring = works.add_parser("measure", help="run one segment; NDJSON of samples, then a report")
    measuring.add_argument("--archive", default="", help="digest of the archive this client runs from")
    measuring.add_argument("--events", action="store_true", help="write token event times, too")
    works.add_parser("share", help="run a process's share of a segment, for one that measures")
    works.add_parser("probe", help="ask an endpoint for its promised routes")
    works.add_parser("ping", help="time small requests")
    return parser


if __name__ == "__main__":
    sys.exit(main())
