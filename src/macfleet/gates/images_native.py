"""What lies on the node is the pinned image, made for the engine's own platform."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from macfleet.gates.gate import GateContext, held, missing, passed, record
from macfleet.model.image import ResolvedImage
from macfleet.model.json import Json
from macfleet.model.resource import Probe, ProbeOutput, State
from macfleet.model.shell import words
from macfleet.model.stage import Evidence, EvidenceRequest, ProbeRequest, Verdict

_DOCKER = 'DOCKER_HOST="unix://$HOME/.colima/default/docker.sock"; export DOCKER_HOST'
_NAME = "images.on_node"
# What the VM's kernel hands to an emulator: with it a foreign image runs, and nobody sees that it does.
_EMULATORS = r"""LIMA_HOME="$HOME/.colima/_lima" limactl shell --workdir / colima \
  ls /proc/sys/fs/binfmt_misc </dev/null 2>/dev/null | grep -E '^(qemu-|rosetta)' | sed 's/^/emulator /'"""


class ImagesNative:
    """Asks the node's engine for its platform, the emulators of its VM, and the images it holds."""

    kind = "images_native"
    before = False

    def needs(self, context: GateContext) -> tuple[EvidenceRequest, ...]:
        """Engine platform, emulators, and platform and ids of the images of the pinned repositories."""
        return (ProbeRequest(_NAME, Probe(_script(context.images), _parse, 60)),)

    def judge(self, context: GateContext, evidence: Evidence) -> Verdict:
        """Hold on a foreign or missing image: nothing runs under silent emulation."""
        if _NAME not in evidence:
            return missing(self.kind, context, _NAME)
        found = record(evidence[_NAME])
        platform = context.node.platform
        reasons = []
        if found.get("engine") != platform:
            reasons.append(f"the engine is {found.get('engine')}, the inventory says {platform}")
        for name, image in sorted(context.images.items()):
            reasons += _faults(name, image, str(found.get(image.repository, "")), platform)
        if reasons:
            again = f"macfleet rollout stage2 -l {context.node.name}"
            mend = f"Deliver the pinned image again: {again}"
            if foreign := _foreign(found, context.images.values(), platform):
                mend = f"Remove it on the node (docker image rm -f {words(foreign)}), then: {again}"
            return held(self.kind, context, tuple(reasons), mend, (_NAME,))
        shown = f"{len(context.images)} images proven on the engine ({platform})"
        emulators = str(found.get("emulators", ""))
        notes = [f"its VM would run other platforms by {emulators}"] if emulators else []
        return passed(self.kind, context, shown, *notes, evidence=(_NAME,))


def _script(images: Mapping[str, ResolvedImage]) -> str:
    repositories = words(sorted({image.repository for image in images.values()}))
    return f"""{_DOCKER}
docker version --format 'engine {{{{.Server.Os}}}}/{{{{.Server.Arch}}}}' || exit 1
for repository in {repositories}; do
  for id in $(docker images --no-trunc --quiet "$repository" | sort -u); do
    docker image inspect --format '{{{{.Id}}}} {{{{.Os}}}}/{{{{.Architecture}}}}' "$id" | while read -r line
    do echo "image $repository $line"; done
  done
done
{_EMULATORS}
:"""


def _parse(output: ProbeOutput) -> State:
    if output.exit != 0:
        raise ValueError("the engine did not answer")
    state: dict[str, str] = {}
    for line in output.stdout.splitlines():
        fields = line.split()
        if fields[:1] == ["engine"]:
            state["engine"] = fields[1]
        elif fields[:1] == ["emulator"] and len(fields) == 2:
            state["emulators"] = f"{state.get('emulators', '')} {fields[1]}".strip()
        elif fields[:1] == ["image"] and len(fields) == 4:
            state[fields[1]] = f"{state.get(fields[1], '')} {fields[2]}={fields[3]}".strip()
    return state


def _foreign(found: Mapping[str, Json], images: Iterable[ResolvedImage], platform: str) -> list[str]:
    """Return ids of images of the pinned repositories that were made for another platform."""
    entries = {entry for image in images for entry in str(found.get(image.repository, "")).split()}
    pairs = (entry.partition("=") for entry in entries)
    return sorted({digest for digest, _, kind in pairs if kind != platform})


def _faults(name: str, image: ResolvedImage, found: str, platform: str) -> list[str]:
    """A containerd store names an image by manifest or index digest, a classic one by config digest."""
    entries = dict(entry.partition("=")[::2] for entry in found.split())
    reasons = [
        f"{name}: {image.repository} {digest[:19]} on the node is {kind}, not {platform}"
        for digest, kind in sorted(entries.items())
        if kind != platform
    ]
    if not {image.manifest, image.index, image.config} & entries.keys():
        reasons.append(f"{name}: {image.pinned} is not on the node")
    return reasons
