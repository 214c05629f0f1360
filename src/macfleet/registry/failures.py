"""Diagnostics of the registry client; what a registry shows is a hold, what a file says is usage."""

from __future__ import annotations

from collections.abc import Sequence

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode


def held(code: str, summary: str, *, why: str = "", mend: str = "") -> MacfleetError:
    """Return an error that holds what asked for it."""
    return MacfleetError(Diagnostic(code, summary, why=why, mend=mend, exit_code=ExitCode.HELD))


def not_a_reference(text: str, problem: str) -> MacfleetError:
    """Return the error for a reference nobody could resolve."""
    return MacfleetError(
        Diagnostic(
            "E0601",
            f"{text!r} is not an image reference",
            why=problem,
            mend="Write it as registry.example/team/name:tag or registry.example/team/name@sha256:…",
        )
    )


def not_a_platform(text: str) -> MacfleetError:
    """Return the error for a platform that is not ``os/architecture``."""
    return MacfleetError(
        Diagnostic("E0609", f"{text!r} is not a platform", mend="Write it as linux/arm64 or linux/amd64.")
    )


def not_a_source(text: str) -> MacfleetError:
    """Return the error for an image source that names no pinned image."""
    return MacfleetError(
        Diagnostic(
            "E0610",
            f"{text!r} is not an image source",
            why="An image to push is named oci:REPOSITORY@sha256:…|PLATFORM|NAME.",
            mend="Pin the image: macfleet image pin",
        )
    )


def missing(what: str) -> MacfleetError:
    """Return the error for something the registry does not have."""
    return held(
        "E0602",
        f"{what} is not in the registry",
        why="The registry answered that it does not know this name, tag or digest.",
        mend="Check the spelling, push the image, or pin what is there: macfleet image resolve REFERENCE",
    )


def foreign_platform(reference: str, wanted: str, offered: Sequence[str], note: str = "") -> MacfleetError:
    """Return the error for an image that would only run under emulation, or not at all."""
    shown = ", ".join(offered) or "no platform at all"
    return held(
        "E0603",
        f"{reference} is not built for {wanted}; it offers {shown}",
        why=note or "Run under emulation it would be slow and nobody would be told why, so it is refused.",
        mend=f"Build and push it for {wanted}: docker buildx build --platform {wanted} --push",
    )


def not_genuine(what: str, problem: str) -> MacfleetError:
    """Return the error for bytes that are not what their digest or size says."""
    return held(
        "E0604",
        f"{what}: {problem}",
        why="Bytes are believed by their digest alone; these are damaged or somebody changed them.",
        mend="Push the image again, or look at what stands between here and the registry (mirror, proxy).",
    )


def denied(what: str, host: str, problem: str) -> MacfleetError:
    """Return the error for a registry that does not let us in."""
    return held(
        "E0605",
        f"{host} does not give out {what}: {problem}",
        why="The registry wants credentials, or those it got are not allowed to read this.",
        mend=f'Name credentials for "{host}" under registries: in images.yml (user and a secret reference).',
    )


def unavailable(host: str, problem: str) -> MacfleetError:
    """Return the error for a registry that cannot be reached or keeps failing."""
    return held(
        "E0606",
        f"registry {host} does not answer: {problem}",
        why="It was tried several times within the deadline.",
        mend=f'Is it up, and is "{host}" its name? A registry without TLS needs plain_http: true under '
        "registries: in images.yml.",
    )


def malformed(what: str, problem: str) -> MacfleetError:
    """Return the error for an answer that makes no sense."""
    return held(
        "E0607",
        f"{what} cannot be used: {problem}",
        why="Manifests are read strictly, so that every reader understands the same image.",
        mend="Build and push the image again with a current tool.",
    )


def unsafe_redirect(host: str, target: str) -> MacfleetError:
    """Return the error for a redirect that would give up transport security or never ends."""
    return held(
        "E0608",
        f"{host} redirects to {target}, which is refused",
        why="A redirect must stay on HTTPS and end soon.",
        mend="Ask who runs the registry why it does that.",
    )
