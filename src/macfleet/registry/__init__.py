"""OCI distribution over HTTP: references resolved, bytes proven by digest, images streamed to nodes."""

from macfleet.registry.archive import OciSources
from macfleet.registry.auth import Credential
from macfleet.registry.cache import BlobCache
from macfleet.registry.resolver import RegistryResolver

__all__ = ["BlobCache", "Credential", "OciSources", "RegistryResolver"]
