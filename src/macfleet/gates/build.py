"""From a line of a playbook to a gate: every kind written out, imported once a playbook names it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import cast

from pydantic import ValidationError

from macfleet.documents import Border, nearest
from macfleet.gates.gate import Gate
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.stage import GateSpec

Builder = Callable[[Mapping[str, object]], Gate]


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


class NoParams(Border):
    """A gate without parameters."""


def _plain(kind: str, name: str) -> Builder:
    """Return what builds a gate without parameters, the class `name` of the module of its kind."""

    def build(params: Mapping[str, object]) -> Gate:
        NoParams.model_validate(params)
        return cast("Gate", getattr(importlib.import_module(f"macfleet.gates.{kind}"), name)())

    return build


def _with_params(kind: str) -> Builder:
    def build(params: Mapping[str, object]) -> Gate:
        from macfleet.gates.params import PARAMS  # noqa: PLC0415  (provisioning has no gate with parameters)

        return PARAMS[kind].model_validate(params).gate()

    return build


KINDS: Mapping[str, Builder] = {
    "bind_sources": _plain("bind_sources", "BindSources"),
    "contract_frozen": _plain("contract_frozen", "ContractFrozen"),
    "converged": _plain("converged", "Converged"),
    "images_native": _plain("images_native", "ImagesNative"),
    "images_pinned": _plain("images_pinned", "ImagesPinned"),
    "images_policy": _with_params("images_policy"),
    "images_scanned": _plain("images_scanned", "ImagesScanned"),
    "loadtest_complete": _plain("loadtest_complete", "LoadtestComplete"),
    "mounts_local": _with_params("mounts_local"),
    "network_proven": _plain("network_proven", "NetworkProven"),
    "routes_answer": _with_params("routes_answer"),
    "weights_origin": _with_params("weights_origin"),
    "weights_safe": _with_params("weights_safe"),
    "weights_verified": _plain("weights_verified", "WeightsVerified"),
}
