"""Reads what the load client wrote on a node: untrusted data, every line checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.load import EndpointReport, LoadSpec, Sample, SegmentReport

LINE_LIMIT = 4 * 2**20
_SHOWN = 3
_ENDPOINT = TypeAdapter(EndpointReport)


class PingAnswer(BaseModel):
    """What a series of small requests took; `ms` in milliseconds, `time_wait` None where unknown."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)

    ms: list[float]
    errors: int
    time_wait: int | None


class _Events(BaseModel):
    """When text of one request came: monotonic nanoseconds, in their order."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    index: int
    t: list[int]


class _Line(BaseModel):
    """One line of a measurement: a sample, the token events after it, or the report at the end."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, defer_build=True)

    sample: Sample | None = None
    report: SegmentReport | None = None
    events: _Events | None = None


class SegmentLines:
    """Takes a measurement's stdout piece by piece and hands samples on as they are complete.

    Attributes:
        report: the client's report, once its line was read.
        samples: how many samples were handed on.
        problems: the first lines that could not be read, in words.
    """

    def __init__(
        self,
        node: str,
        spec: LoadSpec,
        sink: Callable[[Sample], None],
        events: Callable[[Sample, Sequence[int]], None] | None = None,
    ) -> None:
        self.report: SegmentReport | None = None
        self.samples = 0
        self.problems: list[str] = []
        self._node = node
        self._spec = spec
        self._sink = sink
        self._events = events
        self._last: Sample | None = None
        self._tail = b""
        self._number = 0

    def feed(self, piece: bytes) -> None:
        """Take bytes of stdout, cut anywhere; never raises for what they hold."""
        lines = (self._tail + piece).split(b"\n")
        self._tail = lines.pop()
        for line in lines:
            self._number += 1
            if line:
                self._take(line)
        if len(self._tail) > LINE_LIMIT:
            self._problem(f"longer than {LINE_LIMIT} bytes")
            self._tail = b""

    def settled(self, archive: str) -> SegmentReport:
        """Return the report after the client has ended well.

        Raises:
            MacfleetError: E0906 lines that could not be read or no report; E0909 samples were lost.
        """
        if self._tail:
            self._problem("the output ends inside a line")
        if self.problems:
            raise MacfleetError(not_understood(self._node, problem) for problem in self.problems)
        report = self.report
        if report is None:
            raise MacfleetError(not_understood(self._node, "there is no report at the end"))
        if report.archive != archive:
            raise MacfleetError(not_understood(self._node, "the report names another archive"))
        if report.requests != self.samples:
            raise MacfleetError(_lost(self._node, report.requests, self.samples))
        return report

    def _take(self, line: bytes) -> None:
        try:
            read = _Line.model_validate_json(line)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            self._problem(f"{place}: {first['msg']}" if place else first["msg"])
            return
        for record in (read.sample, read.report):
            if record is not None and (record.cell, record.segment, record.arm) != self._asked:
                self._problem("a record of another segment")
                return
        if read.report is not None:
            self.report = read.report
        if read.sample is not None:
            self.samples += 1
            self._last = read.sample
            self._sink(read.sample)
        if read.events is not None:
            self._take_events(read.events)

    def _take_events(self, events: _Events) -> None:
        sample, self._last = self._last, None
        if sample is None or sample.index != events.index:
            self._problem("token events without their request")
        elif any(later < earlier for earlier, later in pairwise(events.t)):
            self._problem("token events whose times go back")
        elif self._events is not None:
            self._events(sample, events.t)

    @property
    def _asked(self) -> tuple[str, int, str]:
        return self._spec.cell, self._spec.segment, self._spec.arm

    def _problem(self, what: str) -> None:
        if len(self.problems) < _SHOWN:
            self.problems.append(f"line {self._number}: {what}")


def read_endpoint(node: str, output: bytes) -> EndpointReport:
    """Return the probe's report (raises MacfleetError, E0906)."""
    try:
        return _ENDPOINT.validate_json(output)
    except ValidationError as error:
        raise MacfleetError(not_understood(node, error.errors(include_url=False)[0]["msg"])) from error


def read_ping(node: str, output: bytes) -> PingAnswer:
    """Return the answer to a series of small requests (raises MacfleetError, E0906)."""
    try:
        return PingAnswer.model_validate_json(output)
    except ValidationError as error:
        raise MacfleetError(not_understood(node, error.errors(include_url=False)[0]["msg"])) from error


def not_understood(node: str, what: str) -> Diagnostic:
    """Return the finding that the client's output cannot be read."""
    return Diagnostic(
        "E0906",
        f"the load client's output was not understood: {what}",
        "What a node sends is data to be checked; a measurement with unreadable records is not one.",
        "Run the stage again; when it happens again, look for something that writes into the output.",
        node=node,
        exit_code=ExitCode.NODE_FAILED,
    )


def _lost(node: str, written: int, read: int) -> Diagnostic:
    return Diagnostic(
        "E0909",
        f"the load client wrote {written} samples and {read} arrived",
        "A measurement with lost samples would flatter what was lost.",
        "Run the stage again.",
        node=node,
        exit_code=ExitCode.NODE_FAILED,
    )
