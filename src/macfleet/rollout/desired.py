"""What the fleet folder wants, read once for a command."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from macfleet.gates import GateContext, WeightsFile
from macfleet.gates.image_rules import ImageRules
from macfleet.model.contract import Contract
from macfleet.model.image import LockedImage, ResolvedImage
from macfleet.model.json import Json
from macfleet.model.node import Node
from macfleet.model.ports import Secrets
from macfleet.model.stage import StageName
from macfleet.playbooks import (
    WHOLE,
    CompileContext,
    CompiledStage,
    Compiler,
    ParsedPlaybook,
    TagChoice,
)

ORDER = (
    StageName.CONTRACT,
    StageName.IMAGES,
    StageName.LAYOUT,
    StageName.NETWORK,
    StageName.LOADTEST,
)


@dataclass(frozen=True, slots=True)
class NetworkChoice:
    """One node's line of ``network.lock``."""

    mode: str
    forwarder: str
    run: str


@dataclass(frozen=True, slots=True)
class Desired:
    """The fleet folder's promises and locks.

    Attributes:
        playbooks: parsed playbook by stage name, ``provision`` included.
        locked: images of ``images.lock`` by name.
        network: choice by node name; a node without one uses bridge.
        secrets: who reads secret references.
        own: images of each node that is to run others than those of ``images.lock``, by its name.
        rules: what images.yml and scan.yml ask of images.
        edges: nodes with ``role: edge``, on which tasks act that are delegated to the edge.
        commit: git commit of the fleet folder; dirty: whether its tree differs from it.
    """

    contract: Contract
    playbooks: Mapping[StageName, ParsedPlaybook]
    locked: Mapping[str, LockedImage] = field(default_factory=dict)
    network: Mapping[str, NetworkChoice] = field(default_factory=dict)
    weights: tuple[WeightsFile, ...] = ()
    secrets: Secrets | None = None
    own: Mapping[str, Mapping[str, LockedImage]] = field(default_factory=dict)
    rules: ImageRules = field(default_factory=ImageRules)
    edges: tuple[Node, ...] = ()
    commit: str = ""
    dirty: bool = True
    # Compiling is pure: what was compiled for a node serves every later question of the same command.
    _compilers: dict[StageName, Compiler] = field(default_factory=dict, init=False, repr=False, compare=False)
    _compiled: dict[tuple[StageName, str, TagChoice], tuple[Node, CompiledStage]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def images(self, node: Node) -> dict[str, ResolvedImage]:
        """Return the locked images that exist for the node's platform, by name."""
        return {
            name: image.platforms[node.platform]
            for name, image in sorted(self._locked(node).items())
            if node.platform in image.platforms
        }

    def mode(self, node: Node) -> str:
        """Return the container network mode of the node."""
        choice = self.network.get(node.name)
        return choice.mode if choice else "bridge"

    def gate_context(self, node: Node) -> GateContext:
        """Return what gates may know."""
        bases = {name: image.base_name for name, image in self._locked(node).items() if image.is_based}
        images = self.images(node)
        mode, policy, scans = self.mode(node), self.rules.policy, self.rules.scans_of(images)
        contents = self.rules.contents_of(images)
        return GateContext(node, self.contract, images, self.weights, mode, bases, policy, scans, contents)

    def compile(self, stage: StageName, node: Node, choice: TagChoice = WHOLE) -> CompiledStage:
        """Return the stage's resources for one node, those `choice` wants (raises MacfleetError)."""
        known = self._compiled.get((stage, node.name, choice))
        if known is not None and known[0] is node:
            return known[1]
        if stage not in self._compilers:
            self._compilers[stage] = Compiler(self.playbooks[stage])
        images = self.images(node)
        context = CompileContext(images, self._values(node), self.secrets, self.rules.trust_of(images))
        compiled = self._compilers[stage].compile(node, context, choice)
        self._compiled[stage, node.name, choice] = (node, compiled)
        return compiled

    def _locked(self, node: Node) -> Mapping[str, LockedImage]:
        return self.own.get(node.name, self.locked)

    def _values(self, node: Node) -> dict[str, Json]:
        """Return the names expressions may use besides the node's variables and images."""
        return {
            "contract": {
                "name": self.contract.name,
                "version": self.contract.version,
                "hash": self.contract.hash,
                "model": self.contract.model,
                "engine_slots": self.contract.engine_slots,
            },
            "network": {"mode": self.mode(node)},
            "weights": [{"path": f.path, "size": f.size, "sha256": f.sha256} for f in self.weights],
        }

    def images_digest(self, node: Node) -> str:
        """Return one digest over the node's pinned images."""
        pinned = {name: image.manifest for name, image in self.images(node).items()}
        return hashlib.sha256(json.dumps(pinned, sort_keys=True).encode()).hexdigest()


def number(stage: StageName) -> int:
    """Return the stage's number, 1 to 5; 0 for provision."""
    return ORDER.index(stage) + 1 if stage in ORDER else 0
