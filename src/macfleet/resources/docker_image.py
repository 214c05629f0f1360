"""A container image in the node's engine, proven by digest and platform."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from pydantic import Field

from macfleet.model.diagnostic import Diagnostic
from macfleet.model.image import ResolvedImage
from macfleet.model.node import Node
from macfleet.model.reference import Reference
from macfleet.model.resource import Assemble, Change, Probe, ProbeOutput, Run, State, Step, compare
from macfleet.model.shell import quote, words
from macfleet.resources import docker_client
from macfleet.resources.image_sources import Source, passed_over, pull_script, refusal, sources_of
from macfleet.resources.params import Params, Profile, Surroundings

_CONTAINERD = "io.containerd.snapshotter"
_PULL_LIMIT = 1800.0

_FOLDER = 'folder="$HOME/.macfleet/blobs"; mkdir -p "$folder/images"; chmod 700 "$folder"'
_ASK = r"""printf 'folder %s\nfree %s\n' "$folder" "$(df -Pk "$folder" | awk 'NR == 2 { print $4 }')"
[ -z "$room" ] || printf 'room %s %s %s of the VM\n' "$room" "$times" "$store"
driver=$(docker info --format '{{json .DriverStatus}}')
for index in "$folder"/images/*; do
  [ -f "$index" ] || continue
  docker image inspect --format x "$(head -n 1 "$index")" >/dev/null 2>&1 || { rm -f "$index"; continue; }
  line=2
  for part; do
    case $part in frame-*) continue ;; esac
    case $driver in
    *io.containerd.snapshotter*) grep -qxF "$part" "$index" || continue ;;
    *) [ "$(sed -n "${line}p" "$index")" = "$part" ] || break ;;
    esac
    printf 'have %s\n' "$part"
    line=$((line + 1))
  done
done"""
"""What the engine has of an image's layers, by the lists kept of images it took from here and still has.

A containerd store takes an archive without any blob it has; a classic one only without the lowest layers,
and only where all of them are the same (both tried with Docker Engine 20.10 and 26.1).
"""
_JOIN = r"""stage=$(mktemp -d "$folder/stage.XXXXXX"); trap 'rm -rf "$stage"' EXIT
mkdir -p "$stage/blobs/sha256"
for part; do
  [ -f "$folder/$part" ] || continue
  case $part in
  frame-*) tar -xf "$folder/$part" -C "$stage" ;;
  *) ln "$folder/$part" "$stage/blobs/sha256/${part#sha256-}" ;;
  esac
done
COPYFILE_DISABLE=1 tar -cf - -C "$stage" oci-layout index.json manifest.json blobs | docker load || exit 75
kept="$folder/images/.$index"
docker image inspect --format '{{.Id}}' "$name" >"$kept"
for part; do
  case $part in frame-*) ;; *) printf '%s\n' "$part" >>"$kept" ;; esac
done
mv -f "$kept" "$folder/images/$index"
for part; do rm -f "$folder/$part"; done"""
"""Join parts to the archive `docker load` takes, then note what the engine has now."""
_TIMES = 4
"""How often the VM's disk must hold the compressed layers: once as they come, up to three times unpacked.

A containerd store keeps both; a classic one keeps an archive only while it loads it. 3.7 was measured for an
engine and for a Python.
"""
_LACKS = r"""lacks=0
have=$(docker image ls --quiet --no-trunc | sort -u | while read -r id; do
  docker image inspect --format '{{range .RootFS.Layers}}{{println .}}{{end}}' "$id" 2>/dev/null || :
done)
while [ "$#" -gt 1 ]; do
  case $have in *"$1"*) ;; *) lacks=$((lacks + $2)) ;; esac
  shift 2
done
needed=$((lacks / 1024 * times))
if [ -n "$room" ] && [ "$room" -lt "$needed" ]; then
  echo "$((needed / 1024)) MiB are needed in $store of the VM, $((room / 1024)) MiB are free." >&2
  echo "Nothing was pulled. Make room, such as by: macfleet image prune --check" >&2
  exit 73
fi"""
"""Stop before a pull that the VM's disk cannot hold; arguments are unpacked digest and size by turns."""


class DockerImageParams(Params):
    """An image of images.lock, on the node by digest."""

    kind: ClassVar[str] = "docker_image"

    image: str = Field(description="Name in images.lock.")
    delivery: Literal["pull", "push", ""] = Field(
        "", description="pull from the registry or push over SSH; what the inventory says unless given."
    )
    profile: Profile = Field("default", description="Colima profile.")

    def address(self, task: str) -> str:  # noqa: ARG002  (the image names it)
        """Return ``docker_image.`` and the image's name."""
        return f"docker_image.{self.image}"

    def provides(self) -> tuple[str, ...]:
        """Return a token for the image."""
        return (f"image:{self.image}",)

    def uses(self) -> tuple[str, ...]:
        """Return the engine it is kept in."""
        return (f"colima:{self.profile}", "brew:docker")

    def build(self, around: Surroundings) -> DockerImage:
        """Return the image as it is locked for the node's platform."""
        node, image = around.node, around.images[self.image]
        pushed = (self.delivery or node.delivery) == "push"
        sources = () if pushed else sources_of(node, image, around.secret)
        return DockerImage(self.image, image, pushed, self.profile, around.needs, sources, node.name)


def local_name(image: ResolvedImage) -> str:
    """Return the tag a pushed image gets on the node; it names the manifest, so it says what it holds."""
    return f"{image.repository}:{image.manifest.replace(':', '-')}"


def name_on(node: Node, image: ResolvedImage) -> str:
    """Return what a node calls an image: by digest, or by `local_name` where it is pushed or has mirrors.

    A classic store learns a reference by digest only from the registry that it names.
    """
    is_tagged = node.delivery == "push" or len(sources_of(node, image)) > 1
    return local_name(image) if is_tagged else image.pinned


@dataclass(frozen=True, slots=True)
class DockerImage:
    """A locked image.

    Attributes:
        pushed: the bytes travel over SSH instead of from a registry.
        sources: where it is pulled from, in order; empty means its own registry, without a login.
        node: inventory name of the node, for what is said.
    """

    name: str
    image: ResolvedImage
    pushed: bool = False
    profile: str = "default"
    needs: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    node: str = ""
    kind: ClassVar[str] = "docker_image"

    @property
    def address(self) -> str:
        """``docker_image.`` and the name."""
        return f"docker_image.{self.name}"

    @property
    def reference(self) -> str:
        """What the image is called on the node."""
        is_tagged = self.pushed or len(self.sources) > 1
        return local_name(self.image) if is_tagged else self.image.pinned

    def probe(self) -> Probe:
        """Ask the engine for its store and for the image's id, platform and repository digests."""
        wanted = "{{.Id}} {{.Os}}/{{.Architecture}} {{json .RepoDigests}}"
        script = f"docker image inspect --format {quote(wanted)} {quote(self.reference)} 2>&1"
        return Probe(docker_client.guarded(self.profile, script), self._parse)

    def desired(self) -> State:
        """The locked manifest, for the locked platform."""
        return {"manifest": self.image.manifest, "platform": _two_parts(self.image.platform)}

    def change(self, actual: State | None) -> Change:
        """Compare; an engine that does not answer is said in words."""
        change = compare(self.address, self.desired(), actual)
        if actual is not None and "engine" in actual:
            return replace(change, reason=docker_client.SILENT)
        if change.fields and (len(self.sources) > 1 or any(each.user for each in self.sources)):
            return replace(change, reason=f"from {', else '.join(each.words for each in self.sources)}")
        return change

    def steps(self, change: Change) -> tuple[Step, ...]:
        """Pull by the platform's manifest digest, or load what a verified stream yields.

        Raises:
            MacfleetError: E0653 the password of a registry cannot be had.
        """
        if not change.fields:
            return ()
        prepared = docker_client.prepared(self.profile)
        room = f"{docker_client.room(self.profile)}; times={_TIMES}"
        if self.pushed:
            source = f"oci:{self.image.pinned}|{self.image.platform}|{self.reference}"
            mark = self.image.manifest.replace(":", "-")
            joined = f"{_FOLDER}\n{prepared}\nname={quote(self.reference)}; index={quote(mark)}\n{_JOIN}"
            return (Assemble(source, f"{_FOLDER}\n{prepared}\n{room}\n{_ASK}", joined, limit=_PULL_LIMIT),)
        layers = zip(self.image.diff_ids, self.image.layers, strict=False)
        sizes = words(each for digest, layer in layers for each in (digest, layer.size))
        pull = pull_script(self._places, self.image.platform, self.reference, self.node)
        return (Run(f"{prepared}\n{room}\nset -- {sizes}\n{_LACKS}\n{pull}", limit=_PULL_LIMIT),)

    def notes(self, output: ProbeOutput) -> tuple[str, ...]:
        """Return which mirrors did not serve the image, from what the pull printed."""
        return passed_over(self._places, output)

    def refusal(self, output: ProbeOutput) -> Diagnostic | None:
        """Return why nothing could be pulled; None for any other failure."""
        return refusal(self._places, output, self.node, self.address)

    @property
    def _places(self) -> tuple[Source, ...]:
        return self.sources or (Source(Reference.parse(self.image.pinned)),)

    def _parse(self, output: ProbeOutput) -> State | None:
        first, _, answer = output.stdout.strip().partition("\n")
        if first == "engine absent" and output.exit == 0:
            return None
        if (first == "engine silent" and output.exit == 0) or output.cut:
            return {"engine": "silent"}
        if not first.startswith("engine "):
            raise ValueError(f"{self.name}: {output.stderr.strip() or output.stdout.strip() or 'no answer'}")
        if "no such image" in answer.lower():
            return None
        return self._inspected(first.removeprefix("engine "), answer)

    def _inspected(self, driver: str, answer: str) -> State:
        parts = answer.strip().split(" ", 2)
        if len(parts) != 3 or not parts[0].startswith("sha256:"):
            raise ValueError(f"{self.name}: docker image inspect printed {answer.strip()!r}")
        identity, platform, digests = parts
        try:
            names = json.loads(digests) or []
        except json.JSONDecodeError as error:
            raise ValueError(f"{self.name}: repository digests are not JSON: {digests!r}") from error
        proven = self._proves(containerd=_CONTAINERD in driver, identity=identity, names=names)
        return {"manifest": self.image.manifest if proven else identity, "platform": _two_parts(platform)}

    def _proves(self, *, containerd: bool, identity: str, names: Sequence[str]) -> bool:
        """Whether the id proves the content.

        The containerd store's id is the digest of index or manifest. The classic store's id is the
        config's digest; it learns the manifest's digest by pulling and loses it on save and load.
        """
        if containerd:
            return identity in {self.image.manifest, self.image.index}
        by_digest = {name.rpartition("@")[2] for name in names}
        return identity == self.image.config or self.image.manifest in by_digest


def _two_parts(platform: str) -> str:
    """Return ``os/architecture``; every arm64 Mac runs variant v8 or none."""
    return "/".join(platform.split("/")[:2])
