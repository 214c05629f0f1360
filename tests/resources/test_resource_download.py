"""Downloads with the real curl from a server on loopback: proven, resumed, bounded."""

import hashlib
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from scratch_mac import ScratchMac

from macfleet.documents import Document, validate
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.node import Endpoint, Node
from macfleet.model.resource import Action
from macfleet.resources import Surroundings
from macfleet.resources.download import DownloadParams

CONTENT = bytes(range(256)) * 2000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
GOOD = {"url": "https://files.example/f", "sha256": DIGEST, "path": "/Users/ops/f"}


@dataclass
class Site:
    """Serves `CONTENT`; `cut` bytes at first, with or without ranges; keeps what was asked."""

    ranges: bool = True
    cut: int = 0
    length: bool = True
    asked: list = field(default_factory=list)
    url: str = ""

    def answer(self, request):
        asked = request.headers.get("Range", "")
        self.asked.append((request.path, asked))
        if request.path == "/elsewhere":
            return self._redirect(request)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.ranges else 0
        if start >= len(CONTENT):
            return request.send_error(416)
        body = CONTENT[start:]
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        if self.length:
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        cut, self.cut = self.cut, 0
        return request.wfile.write(body[:cut] if cut else body)

    def _redirect(self, request):
        request.send_response(302)
        request.send_header("Location", "file:///etc/passwd")
        request.end_headers()


@pytest.fixture
def site():
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            site.answer(self)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield site
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def mac(tmp_path):
    mac = ScratchMac(tmp_path / "mac")
    (mac.root / "opt/homebrew/sbin/curl").unlink()  # the real one
    return mac


def built(**params):
    checked = validate(Document({**GOOD, **params}, "case"), DownloadParams, kind="download")
    return checked.build(Surroundings(Node("mac-01", Endpoint("mac-01.example"))))


def fetched(site, mac, route="/f", **params):
    """Run the first step of a download; return how it ended and the resource."""
    resource = built(url=site.url + route, http=True, path=str(mac.home / "f"), **params)
    (step,) = resource.steps(mac.planned(resource))
    return mac.run(step.script), resource


def left(mac):
    return sorted(path.name for path in mac.home.iterdir() if path.name != "Library")


@pytest.mark.slow
def test_a_file_takes_its_name_with_mode_and_content(site, mac):
    done, resource = fetched(site, mac, mode="0750")
    assert done.exit == 0, done.stderr
    assert mac.planned(resource).action is Action.NOOP
    assert (mac.home / "f").read_bytes() == CONTENT
    assert left(mac) == ["f"]


@pytest.mark.slow
def test_a_transfer_that_was_cut_sends_only_the_rest(site, mac):
    site.cut = 200_000
    assert fetched(site, mac)[0].exit != 0
    assert left(mac) == [f".f.{DIGEST[:16]}.part"]
    site.asked.clear()
    done, resource = fetched(site, mac)
    assert done.exit == 0, done.stderr
    assert site.asked == [("/f", "bytes=200000-")]
    assert mac.planned(resource).action is Action.NOOP


@pytest.mark.slow
def test_what_is_kept_of_a_file_that_is_not_wanted_now_goes(site, mac):
    neighbour = f".f.x.{'1' * 16}.part"
    for name in (f".f.{'0' * 16}.part", neighbour):
        (mac.home / name).write_bytes(b"begun")
    assert fetched(site, mac)[0].exit == 0
    assert left(mac) == [neighbour, "f"]


def test_nothing_is_kept_of_a_file_that_goes_whatever_its_digest_was(mac):
    for name in ("f", f".f.{'0' * 16}.part"):
        (mac.home / name).write_bytes(b"begun")
    gone = built(url="", sha256="", path=str(mac.home / "f"), state="absent")
    mac.carry_out(gone, mac.planned(gone))
    assert left(mac) == []


@pytest.mark.slow
def test_braces_and_brackets_of_a_url_are_no_pattern(site, mac):
    assert fetched(site, mac, "/{a,b}[1-2]")[0].exit == 0
    assert [path for path, _ in site.asked] == ["/{a,b}[1-2]"]


@pytest.mark.slow
def test_a_server_without_ranges_is_asked_for_the_whole_again(site, mac):
    site.cut, site.ranges = 200_000, False
    assert fetched(site, mac)[0].exit != 0
    done, resource = fetched(site, mac)
    assert done.exit == 0, done.stderr
    assert mac.planned(resource).action is Action.NOOP


@pytest.mark.slow
def test_what_is_longer_than_the_whole_is_thrown_away(site, mac):
    (mac.home / f".f.{DIGEST[:16]}.part").write_bytes(CONTENT + b"more")
    done, resource = fetched(site, mac)
    assert done.exit == 0, done.stderr
    assert mac.planned(resource).action is Action.NOOP


@pytest.mark.slow
def test_a_whole_file_that_only_lacks_its_name_is_not_fetched_again(site, mac):
    (mac.home / f".f.{DIGEST[:16]}.part").write_bytes(CONTENT)
    assert fetched(site, mac)[0].exit == 0
    assert site.asked == []
    assert left(mac) == ["f"]


@pytest.mark.slow
def test_another_content_never_takes_the_name(site, mac):
    (mac.home / "f").write_bytes(b"the old one")
    done, _ = fetched(site, mac, sha256="0" * 64)
    assert done.exit == 1
    assert f"SHA-256 is {DIGEST}, expected 000" in done.stderr
    assert (mac.home / "f").read_bytes() == b"the old one"
    assert left(mac) == ["f"]


@pytest.mark.slow
@pytest.mark.parametrize("length", [True, False], ids=["announced", "not announced"])
def test_a_file_over_its_size_is_given_up(length, site, mac):
    site.length = length
    done, _ = fetched(site, mac, max_size=100_000)
    assert done.exit == 1
    assert "larger than 100000 bytes" in done.stderr
    assert left(mac) == []


@pytest.mark.slow
def test_a_redirect_leads_to_no_other_protocol(site, mac):
    done, _ = fetched(site, mac, "/elsewhere")
    assert done.exit == 1
    assert "not supported" in done.stderr or "disabled" in done.stderr
    assert left(mac) == []


@pytest.mark.slow
def test_a_missing_file_says_what_the_server_said(site, mac):
    site.ranges = True
    done = mac.run(built(url="http://127.0.0.1:9/f", http=True).steps(mac.planned(built()))[0].script)
    assert done.exit == 1
    assert "curl ended with status 7" in done.stderr


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"sha256": ""}, "sha256 missing"),
        ({"url": "", "sha256": ""}, "url and sha256 missing"),
        ({"sha256": "abc"}, "64 hexadecimal"),
        ({"url": "http://files.example/f"}, "say http: true"),
        ({"url": "ftp://files.example/f"}, "https://HOST/PATH"),
        ({"url": "https:///f"}, "https://HOST/PATH"),
        ({"url": 'https://files.example/"f'}, "https://HOST/PATH"),
        ({"url": "https://files.example/a b"}, "https://HOST/PATH"),
        ({"url": "https://me:word@files.example/f"}, "must not hold a login"),
        ({"checksum": DIGEST}, 'unknown key "checksum"'),
    ],
)
def test_what_could_not_be_proven_is_refused(params, words):
    with pytest.raises(MacfleetError, match=words) as refused:
        built(**params)
    assert "word@" not in str(refused.value)
