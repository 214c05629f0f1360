"""The load client in process, for whoever composes it with the other vantages."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from macfleet.loadgen import ping
from macfleet.loadgen.measure import measure
from macfleet.model.json import JsonObject
from macfleet.model.load import LoadSpec, Sample, SegmentReport


class InProcessClient:
    """Runs segments and small requests from this machine."""

    def measure(
        self,
        spec: LoadSpec,
        sink: Callable[[Sample], None],
        *,
        archive: str,
        events: Callable[[Sample, Sequence[int]], None] | None = None,
    ) -> SegmentReport:
        """Run one segment; `archive` is the digest the other vantages run, recorded here, too."""
        return measure(spec, sink, archive=archive, events=events)

    def ping(self, job: JsonObject) -> JsonObject:
        """Time small requests as the program does."""
        return ping.ping(ping.read_job(json.dumps(job))).document()
