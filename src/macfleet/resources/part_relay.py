"""The container by which a node serves parts of images to its site: shell text, and the server's program.

It runs from the image the load client is run from, which has a Python and is on the node by digest. Parts
are copied into it, so that it needs no mount of the VM. It removes itself when its time is up, whatever
becomes of the controller.
"""

from __future__ import annotations

from macfleet.model.shell import quote
from macfleet.resources import docker_client

LIFE = 3600
"""Seconds after which a relay ends by itself."""
NO_IMAGE = 78
LABEL = "macfleet.relay"
_PORT = 8000

SERVER = r"""
import hashlib, hmac, http.server, os, re, shutil, sys, threading
life, known, port, folder = float(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]

class Parts(http.server.BaseHTTPRequestHandler):
    protocol_version, timeout = "HTTP/1.1", 30

    def do_GET(self):
        word, _, token = self.headers.get("Authorization", "").partition(" ")
        said = hashlib.sha256(token.encode()).hexdigest()
        path = folder + self.path
        if word != "Bearer" or not hmac.compare_digest(said, known):
            self.head(403, 0)
        elif not re.fullmatch(r"/[a-z0-9]+-[0-9a-f]{64}", self.path) or not os.path.isfile(path):
            self.head(404, 0)
        else:
            self.give(path)

    def give(self, path):
        size = os.path.getsize(path)
        asked = re.fullmatch(r"bytes=(\d{1,18})-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        if asked and start >= size:
            return self.head(416, 0, "bytes */%d" % size)
        where = "bytes %d-%d/%d" % (start, size - 1, size) if asked else ""
        self.head(206 if asked else 200, size - start, where)
        with open(path, "rb") as file:
            file.seek(start)
            shutil.copyfileobj(file, self.wfile, 1 << 18)

    def head(self, status, length, where=""):
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        if where:
            self.send_header("Content-Range", where)
        self.end_headers()

    def log_message(self, *words):
        pass

timer = threading.Timer(life, os._exit, [0])
timer.daemon = True
timer.start()
server = http.server.ThreadingHTTPServer(("0.0.0.0", port), Parts)
print(server.server_port, flush=True)
server.serve_forever()
"""
"""Serves parts to who has the token, and prints its port.

Arguments: seconds to live, the token's SHA-256 in hexadecimal, a port or 0, the folder.
"""

_LISTENS = 'import socket, sys; socket.create_connection(("127.0.0.1", int(sys.argv[1])), 2)'


def keep_script(folder: str, mark: str, part: str) -> str:
    """Return the script that keeps a proven part of `folder` for the run `mark`.

    A second name of the same bytes: joining takes the first away. Everybody may read it, whoever the server
    in the container is; the folder cannot be entered. Whoever brings images has the node to itself, so what
    other runs kept was left by killed controllers.
    """
    kept = f"{folder}/kept-{mark}/relay"
    others = f"-mindepth 1 -maxdepth 1 -name 'kept-*' ! -name {quote(f'kept-{mark}')}"
    return f"""find {quote(folder)} {others} -exec rm -rf {{}} + 2>/dev/null
mkdir -p {quote(kept)} && ln -f {quote(f"{folder}/{part}")} {quote(f"{kept}/{part}")} &&
chmod 755 {quote(kept)} && chmod 644 {quote(f"{kept}/{part}")}
"""


def serve_script(
    folder: str, mark: str, part: str, *, image: str, digest: str, profile: str, anew: bool = False
) -> str:
    """Return the script that makes a container serve a kept part and prints ``port NUMBER``.

    One that runs is added to; one that is new gets every kept part. Nothing is pulled.

    Args:
        folder: where parts lie on the node.
        mark: of the run; letters, digits and hyphens.
        part: name of the part.
        image: with a `python3`, as the node calls it.
        digest: SHA-256 of the token, in lower-case hexadecimal.
        profile: of Colima.
        anew: whether to put another in the place of one that is near its end.

    Exits with `NO_IMAGE` where the image is not on the node.
    """
    name = quote(container_name(mark))
    dropped = f"docker rm --force {name} </dev/null >/dev/null 2>&1 || :" if anew else ""
    return f"""{docker_client.prepared(profile)}
{dropped}
what={quote(f"relay/{part}")}; server={quote(SERVER)}
if ! docker container inspect --format x {name} >/dev/null 2>&1; then
  docker image inspect --format x {quote(image)} >/dev/null 2>&1 || exit {NO_IMAGE}
  for left in $(docker container ls --quiet --filter label={LABEL}); do
    docker rm --force "$left" </dev/null >/dev/null || :
  done
  docker run --detach --rm --pull never --name {name} --label {LABEL}={quote(mark)} \\
    --publish {_PORT} --user "$(id -u)" --cap-drop ALL --security-opt no-new-privileges --memory 256m \\
    --log-driver none --entrypoint python3 {quote(image)} -I -c "$server" \\
    {LIFE} {quote(digest)} {_PORT} /relay </dev/null >/dev/null
  what=relay
  turn=0
  until docker exec {name} python3 -I -c {quote(_LISTENS)} {_PORT} </dev/null 2>/dev/null; do
    turn=$((turn + 1)); [ "$turn" -lt 40 ] || {{ echo "its server does not start" >&2; exit 1; }}
    sleep 0.5
  done
fi
cd {quote(f"{folder}/kept-{mark}")}
COPYFILE_DISABLE=1 tar -cf - "$what" | docker cp - {name}:/ >/dev/null
docker port {name} {_PORT}/tcp | sed -n 's/.*:\\([0-9][0-9]*\\)$/port \\1/p' | head -n 1
"""


def end_script(folder: str, mark: str, profile: str) -> str:
    """Return the script that removes a relay's container and what was kept for it; again is harmless."""
    name = quote(container_name(mark))
    return f"""rm -rf {quote(f"{folder}/kept-{mark}")}
{docker_client.environment(profile)}
docker rm --force {name} </dev/null >/dev/null 2>&1
for turn in 1 2 3 4 5; do
  docker container inspect --format x {name} >/dev/null 2>&1 || exit 0
  sleep 1
done
exit 1
"""


def container_name(mark: str) -> str:
    """Return what the container of a run is called."""
    return f"macfleet-relay-{mark}"
