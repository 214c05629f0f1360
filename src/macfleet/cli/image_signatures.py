"""Whether images are signed by whom images.yml trusts, before they are locked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

if TYPE_CHECKING:
    from macfleet.contract.images import SignatureRules
    from macfleet.model.image import ResolvedImage
    from macfleet.registry import RegistryResolver
    from macfleet.registry.signatures import AttachedSignature


def signature_problems(
    resolver: RegistryResolver, rules: SignatureRules, name: str, image: ResolvedImage
) -> list[Diagnostic]:
    """Return why an image's signatures do not hold: E0739 (exit 7), E0741 for a key that cannot be used.

    The registry is asked only where a key is trusted or a signature is required.
    """
    from macfleet.facts.model_signature import key_problem

    if rules.mode == "ignore" or not (rules.keys or rules.mode == "required"):
        return []
    unusable = {key: problem for key, pem in rules.keys.items() if (problem := key_problem(pem))}
    if unusable:
        return [_unusable(rules, key, problem) for key, problem in unusable.items()]
    from macfleet.registry.signatures import attached_signatures

    refused: list[str] = []
    try:
        for attached in attached_signatures(resolver, image):
            refusal = _refusal(attached, rules, image)
            if not refusal:
                return []
            refused.append(refusal)
    except MacfleetError as error:
        return list(error.diagnostics)
    if refused:
        return [_not_signed(name, image, "; ".join(dict.fromkeys(refused)))]
    return [_not_signed(name, image, "it has no signature")] if rules.mode == "required" else []


def _refusal(attached: AttachedSignature, rules: SignatureRules, image: ResolvedImage) -> str:
    """Return why a signature proves nothing; empty when a trusted key signed the image."""
    from macfleet.facts.image_signature import verify_bundle, verify_simple
    from macfleet.facts.model_signature import SignatureRefused

    digests = (image.manifest, image.index)
    try:
        if attached.signature:
            verify_simple(attached.content, attached.signature, rules.keys, digests)
        else:
            verify_bundle(attached.content, rules.keys, digests)
    except SignatureRefused as error:
        return str(error)
    return ""


def _not_signed(name: str, image: ResolvedImage, why: str) -> Diagnostic:
    return Diagnostic(
        "E0739",
        f"image {name} for {image.platform} is not signed by a key that images.yml trusts: {why}",
        why="Who can push to the registry is not yet who may say what nodes run.",
        mend=f"cosign sign --key KEY {image.repository}@{image.index}; or trust its key under signatures:.",
        exit_code=ExitCode.HELD,
    )


def _unusable(rules: SignatureRules, key: str, problem: str) -> Diagnostic:
    return Diagnostic(
        "E0741",
        f"key {key} cannot check a signature: {problem}",
        mend="Write the public key as cosign public-key prints it.",
        where=rules.where.get(key),
    )
