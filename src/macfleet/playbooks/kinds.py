"""Whether parameters are of a kind that compiling looks into, told without the import of that kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from macfleet.resources import (
        ArchiveParams,
        ComposeProjectParams,
        DockerImageParams,
        FileParams,
        Params,
    )


def is_file(params: Params) -> TypeGuard[FileParams]:
    """Whether they are a file's."""
    return params.kind == "file"


def is_archive(params: Params) -> TypeGuard[ArchiveParams]:
    """Whether they are an archive's."""
    return params.kind == "archive"


def is_docker_image(params: Params) -> TypeGuard[DockerImageParams]:
    """Whether they are an image's."""
    return params.kind == "docker_image"


def is_compose_project(params: Params) -> TypeGuard[ComposeProjectParams]:
    """Whether they are a Compose project's."""
    return params.kind == "compose_project"
