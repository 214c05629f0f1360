"""The shell text that installs and runs the load client at a vantage; pure, POSIX sh, BSD programs."""

from __future__ import annotations

from collections.abc import Sequence

from macfleet.model.shell import quote, words

DAMAGED = 95
NOT_INSTALLED = 96
NO_PYTHON = 97
DOES_NOT_FIT = 98

# Where Homebrew and python.org put an interpreter; /usr/bin/python3 is Apple's stub or too old.
PYTHONS = (
    "/opt/homebrew/bin/python3",
    *(f"/opt/homebrew/bin/python3.{minor}" for minor in (14, 13, 12, 11)),
    "/usr/local/bin/python3",
)
DOCKER = "/opt/homebrew/bin/docker"


def install(digest: str) -> str:
    """Return the script that unpacks a ``.tar.gz`` from stdin below the home; safe to run twice at once.

    `digest` is the SHA-256 of the tar; a damaged transfer exits with `DAMAGED` and leaves nothing.
    """
    return f"""set -eu
umask 022
base="$HOME/macfleet/loadgen"
mkdir -p "$base"
new=$(mktemp -d "$base/.new.XXXXXX")
trap 'rm -rf "$new"' EXIT
gzip -dc > "$new/client.tar" || exit {DAMAGED}
sum=$(shasum -a 256 < "$new/client.tar")
[ "${{sum%% *}}" = {quote(digest)} ] || exit {DAMAGED}
mkdir "$new/tree"
tar -xf "$new/client.tar" -C "$new/tree"
[ -e "$base"/{quote(digest)} ] || mv "$new/tree" "$base"/{quote(digest)}
"""


def on_node(digest: str, arguments: Sequence[str], job: str, pythons: Sequence[str]) -> str:
    """Return the script that runs the client by a Python of the node, `job` on its stdin.

    Exits with `NOT_INSTALLED`, `NO_PYTHON`, `DOES_NOT_FIT` or as the client does.
    """
    return f"""{_installed(digest)}
for python in {words(pythons)}; do
  [ -x "$python" ] && break
  python=
done
[ -n "$python" ] || exit {NO_PYTHON}
printf %s {quote(job)} | "$python" -I "$client/run.py" {words(arguments)}
"""


def in_container(
    digest: str, arguments: Sequence[str], job: str, *, image: str, container: str, profile: str
) -> str:
    """Return the script that runs the client by `image` in the network of `container`.

    Nothing is pulled: the image must be on the node, by digest. `profile` is the Colima profile.
    Exits with `NOT_INSTALLED`, docker's 125 to 127, or as the client does.
    """
    return f"""{_installed(digest)}
DOCKER_HOST="unix://$HOME/.colima/"{quote(profile)}/docker.sock
export DOCKER_HOST
printf %s {quote(job)} | {DOCKER} run --rm -i --pull never --read-only \
--network {quote(f"container:{container}")} -v "$client:/loadgen:ro" --entrypoint python3 \
{quote(image)} -I /loadgen/run.py {words(arguments)}
"""


def _installed(digest: str) -> str:
    return f"""client="$HOME/macfleet/loadgen/"{quote(digest)}
[ -f "$client/run.py" ] || exit {NOT_INSTALLED}"""
