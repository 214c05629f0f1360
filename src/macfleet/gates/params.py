"""What gates with parameters accept, and the gates that it makes."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, field_validator

from macfleet.contract.images_policy import PolicyModel
from macfleet.documents import Border, Size
from macfleet.facts.model_signature import key_problem
from macfleet.gates.gate import Gate
from macfleet.gates.images_policy import ImagesPolicy
from macfleet.gates.mounts_local import MountsLocal
from macfleet.gates.routes_answer import RoutesAnswer
from macfleet.gates.weights_origin import IGNORE, REQUIRED, WHEN_PRESENT, WeightsOrigin
from macfleet.gates.weights_safe import WeightsSafe
from macfleet.model.node import Arm


class GateParams(Border):
    """Parameters of a gate."""

    def gate(self) -> Gate:
        """Return the gate that judges by them."""
        raise NotImplementedError


class RoutesAnswerParams(GateParams):
    """Parameters of routes_answer."""

    arm: Arm = Field(description="Arm whose endpoint is probed on the node")

    def gate(self) -> Gate:
        """Return the gate that judges by them."""
        return RoutesAnswer(str(self.arm))


class MountsLocalParams(GateParams):
    """Parameters of mounts_local."""

    kinds: tuple[str, ...] = Field(("apfs",), description="File systems that are allowed")
    refuse: tuple[str, ...] = Field(("icloud", "removable"), description="Places that are refused")

    def gate(self) -> Gate:
        """Return the gate that judges by them."""
        return MountsLocal(self.kinds, self.refuse)


class ImagesPolicyParams(PolicyModel, GateParams):
    """Parameters of images_policy; those that are given count before `policy:` in images.yml."""

    bases: dict[str, str] = Field(
        default_factory=dict,
        description="Base image by image name, where neither its labels nor images.yml record one",
    )

    def gate(self) -> Gate:
        """Return the gate that judges by them."""
        return ImagesPolicy({name: getattr(self, name) for name in self.model_fields_set})


class WeightsSafeParams(GateParams):
    """Parameters of weights_safe."""

    limit: Size = Field(
        32 * 2**20, ge=2**20, le=40 * 2**20, description="Bytes brought from a node, all files together"
    )
    allow: tuple[str, ...] = Field((), description="Patterns of paths that may be Python or unknown bytes")

    def gate(self) -> Gate:
        """Return the gate that judges by them."""
        return WeightsSafe(self.limit, self.allow)


class WeightsOriginParams(GateParams):
    """Parameters of weights_origin."""

    signature: str = Field(
        WHEN_PRESENT,
        pattern=f"^({IGNORE}|{WHEN_PRESENT}|{REQUIRED})$",
        description="`ignore`, `when_present` or `required`: whether `model.sig` must prove the model",
    )
    keys: dict[str, str] = Field(
        default_factory=dict, description="Trusted public keys by name, PEM (Ed25519 or ECDSA)"
    )
    allow: tuple[str, ...] = Field(
        ("*/README.md", "*/.gitattributes"), description="Patterns of paths a snapshot may hold unlocked"
    )

    @field_validator("keys")
    @classmethod
    def _usable(cls, value: dict[str, str]) -> dict[str, str]:
        for name, pem in value.items():
            if problem := key_problem(pem):
                raise ValueError(f"key {name}: {problem}")
        return value

    def gate(self) -> Gate:
        """Return the gate that judges by them."""
        return WeightsOrigin(self.signature, self.keys, self.allow)


PARAMS: Mapping[str, type[GateParams]] = {
    "images_policy": ImagesPolicyParams,
    "mounts_local": MountsLocalParams,
    "routes_answer": RoutesAnswerParams,
    "weights_origin": WeightsOriginParams,
    "weights_safe": WeightsSafeParams,
}
