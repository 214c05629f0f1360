"""The load client in process, for the client's own vantage."""

from __future__ import annotations

from collections.abc import Callable

from macfleet.model.json import JsonObject
from macfleet.model.load import LoadSpec, Sample, SegmentReport


class LocalLoadClient:
    """Runs the same client code here that travels to nodes in the archive."""

    def measure(self, spec: LoadSpec, sink: Callable[[Sample], None], *, archive: str) -> SegmentReport:
        """Run one segment from here."""
        from macfleet.loadgen.measure import measure

        return measure(spec, sink, archive=archive)

    def ping(self, job: JsonObject) -> JsonObject:
        """Time small requests from here."""
        import json

        from macfleet.loadgen.ping import ping, read_job

        return ping(read_job(json.dumps(job))).document()
