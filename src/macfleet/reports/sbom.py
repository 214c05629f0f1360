"""A release as a bill of materials: CycloneDX 1.6 JSON of its images, their packages and its weights."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import rfc8785

from macfleet.facts.scan_packages import Package
from macfleet.facts.scan_purl import purl
from macfleet.gates import WeightsFile
from macfleet.model.image import ResolvedImage
from macfleet.model.json import Json, JsonObject
from macfleet.model.reference import Reference

_APK_SYSTEM, _DEB_SYSTEM = "alpine", "debian"


@dataclass(frozen=True, slots=True)
class ShippedImage:
    """One image of a release for one platform, and what was found in its layers.

    Attributes:
        base_name, base_digest: base image, empty where nobody recorded it.
        system: id and version of its os-release, such as ``debian 12``; empty where it has none.
    """

    name: str
    image: ResolvedImage
    base_name: str = ""
    base_digest: str = ""
    packages: tuple[Package, ...] = ()
    system: str = ""


def sbom(
    fleet: str,
    release: str,
    images: Sequence[ShippedImage],
    weights: Sequence[WeightsFile],
    made: Mapping[str, str],
) -> JsonObject:
    """Return the bill of materials of a release; the same release gives the same document.

    Args:
        fleet: name of the fleet.
        release: id of the release.
        images: each platform of each image.
        weights: files of weights.lock.
        made: ``version`` of macfleet, and ``at``: when the release was resolved (RFC 3339), or empty.
    """
    components: list[Json] = [*map(_image, images), *map(_weights, weights)]
    refs = [str(each["bom-ref"]) for each in components if isinstance(each, Mapping)]
    tool: JsonObject = {"type": "application", "name": "macfleet", "version": made["version"]}
    root: JsonObject = {"type": "application", "bom-ref": "release", "name": fleet, "version": release}
    when: JsonObject = {"timestamp": made["at"]} if made["at"] else {}
    document: JsonObject = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {**when, "tools": {"components": [tool]}, "component": root},
        "components": components,
        "dependencies": [{"ref": "release", "dependsOn": refs}, *({"ref": ref} for ref in refs)],
    }
    return {**document, "serialNumber": _serial(document)}


def _image(shipped: ShippedImage) -> JsonObject:
    image = shipped.image
    ref = f"image:{shipped.name}:{image.platform}"
    base: JsonObject = {"pedigree": {"ancestors": [_base(shipped)]}} if shipped.base_name else {}
    packages: list[Json] = [_package(ref, shipped.system, each) for each in shipped.packages]
    parsed = Reference.parse(image.reference)
    return {
        "type": "container",
        "bom-ref": ref,
        "name": shipped.name,
        "version": parsed.tag or image.manifest,
        "purl": _image_purl(image),
        "hashes": [_sha256(image.manifest)],
        "properties": [
            {"name": "macfleet:reference", "value": image.reference},
            {"name": "macfleet:platform", "value": image.platform},
            {"name": "macfleet:index", "value": image.index},
            {"name": "macfleet:config", "value": image.config},
            *({"name": "macfleet:layer", "value": layer.digest} for layer in image.layers),
        ],
        **base,
        **({"components": packages} if packages else {}),
    }


def _image_purl(image: ResolvedImage) -> str:
    name = image.repository.rpartition("/")[2].lower()
    architecture = image.platform.partition("/")[2]
    return purl("oci", name, image.manifest, {"arch": architecture, "repository_url": image.repository})


def _base(shipped: ShippedImage) -> JsonObject:
    hashes: JsonObject = {"hashes": [_sha256(shipped.base_digest)]} if shipped.base_digest else {}
    return {"type": "container", "name": shipped.base_name, **hashes}


def _package(image: str, system: str, package: Package) -> JsonObject:
    name, _, version = system.partition(" ")
    vendor = name or (_APK_SYSTEM if package.kind == "apk" else _DEB_SYSTEM)
    distro = f"{vendor}-{version}" if version else ""
    asked = {"arch": package.architecture, "distro": distro, "upstream": package.source}
    named = purl(package.kind, f"{vendor}/{package.name}".lower(), package.version, asked)
    return {
        "type": "library",
        "bom-ref": f"{image}:{named}",
        "name": package.name,
        "version": package.version,
        "purl": named,
    }


def _weights(file: WeightsFile) -> JsonObject:
    revision: JsonObject = {"version": file.revision} if file.revision else {}
    origin = [{"name": "macfleet:provenance", "value": file.provenance}] if file.provenance else []
    return {
        "type": "machine-learning-model",
        "bom-ref": f"weights:{file.path}",
        "name": file.path.rpartition("/")[2],
        **revision,
        "hashes": [{"alg": "SHA-256", "content": file.sha256}],
        "properties": [
            {"name": "macfleet:path", "value": file.path},
            {"name": "macfleet:size", "value": str(file.size)},
            *origin,
        ],
    }


def _sha256(digest: str) -> JsonObject:
    return {"alg": "SHA-256", "content": digest.removeprefix("sha256:")}


def _serial(document: JsonObject) -> str:
    """Return a UUID made of the document's canonical bytes (RFC 9562, version 8)."""
    digest = bytearray(hashlib.sha256(rfc8785.dumps(dict(document))).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"urn:uuid:{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
