import subprocess
from dataclasses import replace

import pytest

from macfleet.store.folder_runs import FolderRuns
from macfleet.testing.runs import LOAD_TEST

RUN = "20261123T041205Z-stage5-1a2b"
MANIFEST = replace(LOAD_TEST, id=RUN, arms=("bare",))


@pytest.fixture
def runs(tmp_path):
    return FolderRuns(tmp_path / "runs")


@pytest.fixture
def manifest():
    """The head of a run as it is handed over to be sealed."""
    return MANIFEST


@pytest.fixture
def sealed(runs):
    """One small finished run; its folder."""
    writer = runs.create(RUN)
    writer.json("verdicts.json", {"schema": 1, "verdicts": []})
    writer.json("nodes/mac-01/facts.json", {"chip": "m4"})
    writer.text("nodes/mac-01/logs/first-failure.txt", "nothing failed\n")
    writer.finish(MANIFEST)
    return runs.folder(RUN)


@pytest.fixture(scope="session")
def make_key(tmp_path_factory):
    """Make an SSH key without a passphrase; its path and its line in an allowed-signers file."""

    def make(who):
        key = tmp_path_factory.mktemp("keys") / "id_ed25519"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", who, "-f", str(key)], check=True)
        kind, public, *_ = key.with_suffix(".pub").read_text().split()
        return key, f'{who} namespaces="macfleet-run" {kind} {public}\n'

    return make


@pytest.fixture(scope="session")
def key(make_key):
    return make_key("ops@example")
