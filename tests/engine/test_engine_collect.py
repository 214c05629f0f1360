"""A part fetched from another node by a real curl: proven, gone on with, never told in a process list."""

import hashlib
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from macfleet.engine.transfer import Offer, Parcel, collect, deliver
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.secret import Secret
from macfleet.testing import LocalTransport

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="the node's program is not here")
CONTENT = b"layer" * 4000
TOKEN = "token-that-nobody-guesses"  # noqa: S105 (of this test)
PARCEL = Parcel(len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), lambda offset: [CONTENT[offset:]])


class Sibling(BaseHTTPRequestHandler):
    """Serves what the test says and notes what was asked, and whether the process list told the token."""

    def do_GET(self):
        server = self.server
        told = subprocess.run(["ps", "-axww", "-o", "command"], capture_output=True, text=True, check=True)
        server.asked.append((self.headers.get("Authorization"), self.headers.get("Range")))
        server.leaked |= TOKEN in told.stdout
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        body = server.body[start:]
        self.send_response(server.status if server.status != 200 or not start else 206)
        self.send_header("Content-Length", str(len(body)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.body) - 1}/{len(server.body)}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


@pytest.fixture
def sibling():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sibling)
    server.asked, server.leaked, server.body, server.status = [], False, CONTENT, 200
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(sibling, home):
    offer = Offer("mac-01", f"http://127.0.0.1:{sibling.server_port}/part", Secret(TOKEN))
    collect(LocalTransport(home), PARCEL, offer, str(home / "part"), node="n", deadline=120, mode="0600")


def test_a_part_comes_from_the_sibling_with_the_token_in_no_process_list(sibling, tmp_path):
    fetch(sibling, tmp_path)
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert sibling.asked == [(f"Bearer {TOKEN}", None)]
    assert not sibling.leaked
    assert [each.name for each in tmp_path.iterdir()] == ["part"]


def test_a_part_that_broke_off_is_gone_on_with(sibling, tmp_path):
    half = tmp_path / f".part.{PARCEL.sha256[:16]}.part"
    half.write_bytes(CONTENT[:7000])
    fetch(sibling, tmp_path)
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert sibling.asked == [(f"Bearer {TOKEN}", "bytes=7000-")]


def test_a_part_that_is_there_is_not_fetched(sibling, tmp_path):
    (tmp_path / "part").write_bytes(CONTENT)
    fetch(sibling, tmp_path)
    assert sibling.asked == []


def test_other_bytes_are_refused_and_nothing_of_them_stays(sibling, tmp_path):
    sibling.body = CONTENT[:-1] + b"!"
    with pytest.raises(MacfleetError) as caught:
        fetch(sibling, tmp_path)
    assert caught.value.diagnostics[0].code == "E0418"
    assert list(tmp_path.iterdir()) == []


def test_a_sibling_that_refuses_is_named_and_the_rest_comes_from_the_controller(sibling, tmp_path):
    sibling.status = 403
    with pytest.raises(MacfleetError) as caught:
        fetch(sibling, tmp_path)
    [found] = caught.value.diagnostics
    assert (found.code, found.node) == ("E0642", "n")
    assert "mac-01" in found.summary
    assert TOKEN not in str(found)
    deliver(LocalTransport(tmp_path), PARCEL, str(tmp_path / "part"), node="n", deadline=120)
    assert (tmp_path / "part").read_bytes() == CONTENT
