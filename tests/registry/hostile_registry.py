"""A registry that answers whatever a test tells it to, and remembers what it was sent."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from image_pusher import image, sha256


class HostileRegistry:
    """`answers` maps a path (without query) to one answer or to a list of answers, given in turn.

    An answer is a mapping: status, headers, body (bytes or an iterable of chunks), length (a declared
    Content-Length that need not be true), or a function of the request's headers that returns one.
    """

    def __init__(self, name="127.0.0.1", tls=None):
        self.answers = {}
        self.seen = []
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                registry.seen.append((self.path, dict(self.headers)))
                _reply(self, registry.answer(self.path.partition("?")[0], self.headers))

            def log_message(self, *_):
                pass

        self.server = _QuietServer(("127.0.0.1", 0), Handler)
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.host = f"{name}:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def answer(self, path, headers):
        answer = self.answers.get(path, {"status": 404})
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        return answer(headers) if callable(answer) else answer

    def serve(self, name="image", tag="v1", **arguments):
        """Answer truthfully for one image; returns its manifest bytes."""
        manifest, blobs = image(**arguments)
        self.manifest(manifest, name, tag)
        for digest, data in blobs.items():
            self.answers[f"/v2/{name}/blobs/{digest}"] = {"body": data}
        return manifest

    def manifest(self, data, name="image", tag="v1"):
        told = {"Content-Type": json.loads(data)["mediaType"], "Docker-Content-Digest": sha256(data)}
        for each in (tag, sha256(data)):
            self.answers[f"/v2/{name}/manifests/{each}"] = {"body": data, "headers": told}

    def paths(self):
        return [path for path, _ in self.seen]

    def authorizations(self):
        return [headers.get("Authorization") for _, headers in self.seen]


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """A client that hangs up on an endless answer is what some tests want."""


def _reply(handler, answer):
    body = answer.get("body", b"")
    whole = isinstance(body, bytes)
    handler.send_response(answer.get("status", 200))
    for name, value in answer.get("headers", {}).items():
        handler.send_header(name, value)
    if "length" in answer or whole:
        handler.send_header("Content-Length", str(answer.get("length", len(body) if whole else 0)))
    else:
        handler.send_header("Connection", "close")
        handler.close_connection = True
    if "length" in answer:
        handler.close_connection = True
    handler.end_headers()
    try:
        for chunk in (body,) if whole else body:
            handler.wfile.write(chunk)
    except OSError:
        handler.close_connection = True
