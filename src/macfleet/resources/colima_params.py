"""What a task may say about Colima's VM."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

from pydantic import Field, JsonValue, field_validator

from macfleet.documents import Border, Size
from macfleet.resources.colima_instance import ColimaInstance
from macfleet.resources.colima_settings import ColimaSettings, canonical, mount
from macfleet.resources.params import AbsolutePath, Params, Profile, Surroundings

_GIB = 2**30


class MountParams(Border):
    """A folder of the Mac that the VM sees."""

    location: AbsolutePath = Field(description="Folder on the Mac.")
    mount_point: str = Field("", description="Where the VM sees it; the same path unless given.")
    writable: bool = Field(False, description="Whether containers may write to it.")

    @field_validator("location", "mount_point")
    @classmethod
    def _plain(cls, value: str) -> str:
        if any(character in value for character in " \t:"):
            raise ValueError(f"{value!r}: Colima cannot mount a path with a space or a colon")
        return value


class ColimaInstanceParams(Params):
    """Colima's VM, running; every setting is written out, a partial file would be ignored by Colima."""

    kind: ClassVar[str] = "colima_instance"

    profile: Profile = Field("default", description="Colima profile.")
    cpus: int = Field(description="CPUs of the VM.", ge=1)
    memory: Size = Field(
        description="Memory of the VM, such as 12GiB; budget it as fully used.", ge=_GIB // 2
    )
    disk: Size = Field(description="Data disk, such as 100GiB; it can only grow.", ge=_GIB)
    mounts: tuple[MountParams, ...] = Field(
        description="Folders the VM sees, and no others; an empty list means the home folder, writable."
    )
    docker: dict[str, JsonValue] = Field(default_factory=dict, description="Settings of the Docker daemon.")
    runtime: str = Field("docker", description="Container runtime; fixed once the VM exists.")
    vm_type: str = Field("vz", description="Virtualisation; fixed once the VM exists.")
    mount_type: str = Field("virtiofs", description="How mounts are shared; fixed once the VM exists.")
    port_forwarder: str = Field("ssh", description="ssh or grpc.")
    network_address: bool = Field(False, description="Give the VM an address the Mac can reach.")
    rosetta: bool = Field(False, description="Run amd64 programs through Rosetta.")
    binfmt: bool = Field(False, description="Let foreign images run under emulation, silently.")
    recreate: bool = Field(
        False, description="Allow deleting the VM, keeping its data disk, for a fixed field."
    )

    @field_validator("disk")
    @classmethod
    def _whole(cls, value: int) -> int:
        if value % _GIB:
            raise ValueError("a disk has whole GiB")
        return value

    @field_validator("mounts")
    @classmethod
    def _apart(cls, value: tuple[MountParams, ...]) -> tuple[MountParams, ...]:
        places = sorted(f"{each.location}/" for each in value)
        for outer, inner in pairwise(places):
            if inner.startswith(outer):
                raise ValueError(
                    f"mounts overlap: {outer.rstrip('/')} and {inner.rstrip('/')}; Colima refuses that"
                )
        return value

    def address(self, task: str) -> str:  # noqa: ARG002  (the profile names it)
        """Return ``colima_instance.`` and the profile."""
        return f"colima_instance.{self.profile}"

    def provides(self) -> tuple[str, ...]:
        """Return a token for the profile's engine."""
        return (f"colima:{self.profile}",)

    def uses(self) -> tuple[str, ...]:
        """Return its formulae and the mounted folders."""
        return ("brew:colima", "brew:docker", *(each.location for each in self.mounts))

    def build(self, around: Surroundings) -> ColimaInstance:
        """Return the VM."""
        mounts = (mount(each.location, each.mount_point, writable=each.writable) for each in self.mounts)
        settings = ColimaSettings(
            cpus=self.cpus,
            memory=self.memory,
            disk=self.disk,
            mounts=tuple(sorted(mounts)),
            docker=canonical(self.docker),
            runtime=self.runtime,
            vm_type=self.vm_type,
            mount_type=self.mount_type,
            port_forwarder=self.port_forwarder,
            network_address=self.network_address,
            rosetta=self.rosetta,
            binfmt=self.binfmt,
        )
        return ColimaInstance(settings, self.profile, self.recreate, around.needs)
