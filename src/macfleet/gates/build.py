"""From a line of a playbook to a gate: every kind written out with its parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pydantic import Field, ValidationError, field_validator

from macfleet.contract.images_policy import PolicyModel
from macfleet.documents import Border, Size, nearest
from macfleet.facts.model_signature import key_problem
from macfleet.gates.bind_sources import BindSources
from macfleet.gates.contract_frozen import ContractFrozen
from macfleet.gates.converged import Converged
from macfleet.gates.gate import Gate
from macfleet.gates.images_native import ImagesNative
from macfleet.gates.images_pinned import ImagesPinned
from macfleet.gates.images_policy import ImagesPolicy
from macfleet.gates.images_scanned import ImagesScanned
from macfleet.gates.loadtest_complete import LoadtestComplete
from macfleet.gates.mounts_local import MountsLocal
from macfleet.gates.network_proven import NetworkProven
from macfleet.gates.routes_answer import RoutesAnswer
from macfleet.gates.weights_origin import IGNORE, REQUIRED, WHEN_PRESENT, WeightsOrigin
from macfleet.gates.weights_safe import WeightsSafe
from macfleet.gates.weights_verified import WeightsVerified
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.node import Arm
from macfleet.model.stage import GateSpec


class NoParams(Border):
    """A gate without parameters."""


class RoutesAnswerParams(Border):
    """Parameters of routes_answer."""

    arm: Arm = Field(description="Arm whose endpoint is probed on the node")


class MountsLocalParams(Border):
    """Parameters of mounts_local."""

    kinds: tuple[str, ...] = Field(("apfs",), description="File systems that are allowed")
    refuse: tuple[str, ...] = Field(("icloud", "removable"), description="Places that are refused")


class ImagesPolicyParams(PolicyModel):
    """Parameters of images_policy; those that are given count before `policy:` in images.yml."""

    bases: dict[str, str] = Field(
        default_factory=dict,
        description="Base image by image name, where neither its labels nor images.yml record one",
    )


class WeightsSafeParams(Border):
    """Parameters of weights_safe."""

    limit: Size = Field(
        32 * 2**20, ge=2**20, le=40 * 2**20, description="Bytes brought from a node, all files together"
    )
    allow: tuple[str, ...] = Field((), description="Patterns of paths that may be Python or unknown bytes")


class WeightsOriginParams(Border):
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


Builder = Callable[[Mapping[str, object]], Gate]

KINDS: Mapping[str, Builder] = {
    "bind_sources": lambda params: _plain(params, BindSources),
    "contract_frozen": lambda params: _plain(params, ContractFrozen),
    "converged": lambda params: _plain(params, Converged),
    "images_native": lambda params: _plain(params, ImagesNative),
    "images_pinned": lambda params: _plain(params, ImagesPinned),
    "images_policy": lambda params: _images_policy(ImagesPolicyParams.model_validate(params)),
    "images_scanned": lambda params: _plain(params, ImagesScanned),
    "loadtest_complete": lambda params: _plain(params, LoadtestComplete),
    "mounts_local": lambda params: _mounts_local(MountsLocalParams.model_validate(params)),
    "network_proven": lambda params: _plain(params, NetworkProven),
    "routes_answer": lambda params: RoutesAnswer(str(RoutesAnswerParams.model_validate(params).arm)),
    "weights_origin": lambda params: _weights_origin(WeightsOriginParams.model_validate(params)),
    "weights_safe": lambda params: _weights_safe(WeightsSafeParams.model_validate(params)),
    "weights_verified": lambda params: _plain(params, WeightsVerified),
}

PARAMS: Mapping[str, type[Border]] = {
    "images_policy": ImagesPolicyParams,
    "mounts_local": MountsLocalParams,
    "routes_answer": RoutesAnswerParams,
    "weights_origin": WeightsOriginParams,
    "weights_safe": WeightsSafeParams,
}
"""What gates with parameters accept."""


def build_gate(spec: GateSpec) -> Gate:
    """Return the gate a playbook's line means.

    Raises:
        MacfleetError: E0801 unknown kind, E0802 wrong parameters.
    """
    builder = KINDS.get(spec.kind)
    if builder is None:
        guess = nearest(spec.kind, KINDS)
        mend = f'did you mean "{guess}"?' if guess else f"Known gates: {', '.join(sorted(KINDS))}."
        raise MacfleetError(Diagnostic("E0801", f'unknown gate "{spec.kind}"', mend=mend, where=spec.where))
    try:
        return builder(spec.params)
    except ValidationError as error:
        raise MacfleetError(
            Diagnostic(
                "E0802",
                f"gate {spec.kind}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}",
                where=spec.where,
            )
            for problem in error.errors()
        ) from error


def _plain(params: Mapping[str, object], gate: Callable[[], Gate]) -> Gate:
    NoParams.model_validate(params)
    return gate()


def _mounts_local(params: MountsLocalParams) -> Gate:
    return MountsLocal(params.kinds, params.refuse)


def _weights_origin(params: WeightsOriginParams) -> Gate:
    return WeightsOrigin(params.signature, params.keys, params.allow)


def _weights_safe(params: WeightsSafeParams) -> Gate:
    return WeightsSafe(params.limit, params.allow)


def _images_policy(params: ImagesPolicyParams) -> Gate:
    return ImagesPolicy({name: getattr(params, name) for name in params.model_fields_set})
