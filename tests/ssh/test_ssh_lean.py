"""What reaching a node imports: paramiko, and of what stands around it only what is used."""

import subprocess
import sys

import pytest

_ROUTE = """
from pathlib import Path
from macfleet.model.node import Endpoint, Node
from macfleet.ssh.route import Routes
hop = Routes(Path("/dev/null")).to(Node(name="mac-01", endpoint=Endpoint("10.0.0.1", user={user!r})))[-1]
assert (hop.host, hop.port, bool(hop.user)) == ("10.0.0.1", 22, True)
"""

_AHEAD = """
import sys
from pathlib import Path
from macfleet.model.diagnostic import NodeUnreachable
from macfleet.model.node import Endpoint, Node
from macfleet.ssh import SshTransports
from macfleet.ssh.wire import Wire

def refused(*_, **__):
    seen.append("paramiko" in sys.modules)
    raise ConnectionRefusedError("nobody")

seen = []
Wire.connect_to = refused
pool = SshTransports(Path("{folder}/known_hosts"), ssh_config=Path("/dev/null"))
node = Node(name="mac-01", endpoint=Endpoint("10.0.0.1", user="ops"))
try:
    pool.to(node)
except NodeUnreachable as error:
    assert "nobody" in str(error), error
assert seen == [False], seen
pool.close()
"""


def imported(script):
    """Modules in memory after a script."""
    told = "\nimport sys; print('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script + told], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.splitlines())


def test_the_first_streams_are_opened_before_paramiko_is_imported(tmp_path):
    assert "macfleet.ssh.opener" not in imported(_AHEAD.format(folder=str(tmp_path)))


def test_whoever_begins_logins_imports_what_they_need_before_anything_else(tmp_path):
    begun = "from pathlib import Path\nfrom macfleet.ssh import SshTransports\n"
    begun += f"SshTransports(Path('{tmp_path}/known_hosts'), ssh_config=Path('/dev/null')).begin([])"
    found = imported(begun)
    assert {"paramiko", "macfleet.ssh.opener"} <= found
    assert not {"fabric", "invoke"} & found


def test_what_is_read_before_a_stream_is_opened_needs_no_paramiko():
    found = imported("from macfleet.ssh import SshTransports, Passphrases" + _ROUTE.format(user="ops"))
    assert not {"paramiko", "cryptography", "fabric", "invoke"} & found


def test_connections_need_neither_fabric_nor_invoke_nor_an_event_loop():
    found = imported("from macfleet.ssh import Connection, SshTransports" + _ROUTE.format(user="ops"))
    assert "paramiko" in found
    assert not {"fabric", "invoke", "asyncio", "unittest.mock", "macfleet.ssh.enrolment"} & found


def test_a_node_whose_user_nobody_names_gets_the_one_of_fabric():
    assert "fabric" in imported(_ROUTE.format(user=""))


@pytest.mark.parametrize("other", ["fabric", "invoke"])
def test_what_paramiko_was_kept_from_can_be_imported_after_it(other):
    found = imported(f"from macfleet.ssh import Connection\nimport {other}")
    assert {"paramiko", "invoke", other} <= found
