"""Images signed with a key, as cosign attaches signatures in a real registry: refused unless a trusted key did it.

Signatures are made here after cosign's bundle and signature specifications.
"""

import base64
import json

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from image_pusher import OCI_INDEX, OCI_MANIFEST, entry, index, sha256

from macfleet.cli.main import main

KEY = ec.generate_private_key(ec.SECP256R1())
STRANGER = ed25519.Ed25519PrivateKey.generate()
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
EMPTY = b"{}"


def pem(private):
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    return private.public_key().public_bytes(serialization.Encoding.PEM, kind).decode()


def sign(private, data):
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return private.sign(data)
    return private.sign(data, ec.ECDSA(hashes.SHA256()))


def bundle(digest, private=KEY, predicate="https://sigstore.dev/cosign/sign/v1", **material):
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": digest.removeprefix("sha256:")}}],
        "predicateType": predicate,
        "predicate": {},
    }
    kind, payload = "application/vnd.in-toto+json", json.dumps(statement).encode()
    signed = f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": kind,
        "signatures": [{"sig": base64.b64encode(sign(private, signed)).decode()}],
    }
    return json.dumps(
        {
            "mediaType": BUNDLE,
            "verificationMaterial": material or {"publicKey": {"hint": "k"}},
            "dsseEnvelope": envelope,
        }
    ).encode()


def simple(digest, private=KEY):
    """Return (document, signature) of the older form."""
    image = {"docker-manifest-digest": digest}
    critical = {"identity": {}, "image": image, "type": "cosign container image signature"}
    document = json.dumps({"critical": critical, "optional": None}).encode()
    return document, base64.b64encode(sign(private, document)).decode()


def artifact(layer_type, content, **layer):
    described = {"mediaType": layer_type, "digest": sha256(content), "size": len(content), **layer}
    config = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": sha256(EMPTY), "size": len(EMPTY)}
    manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [described]}
    return json.dumps({**manifest, "artifactType": layer_type}).encode()


@pytest.fixture
def signer(pusher):
    """Return functions that attach signatures to digests of the repository `signed`."""

    class Signer:
        def bundled(self, digest, *bundles):
            entries = []
            for content in bundles:
                manifest = artifact(BUNDLE, content)
                for blob in (EMPTY, content):
                    pusher.blob("signed", blob)
                pusher.manifest("signed", manifest)
                described = {"mediaType": OCI_MANIFEST, "digest": sha256(manifest), "size": len(manifest)}
                entries.append({**described, "artifactType": BUNDLE})
            listed = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
            pusher.manifest("signed", json.dumps(listed).encode(), digest.replace(":", "-"))

        def older(self, digest, document, signature):
            notes = {"annotations": {"dev.cosignproject.cosign/signature": signature}}
            for blob in (EMPTY, document):
                pusher.blob("signed", blob)
            pusher.manifest("signed", artifact(SIMPLE, document, **notes), f"{digest.replace(':', '-')}.sig")

    return Signer()


@pytest.fixture
def fleet(tmp_path, registry):
    (tmp_path / "macfleet.yml").write_text("name: test\n")
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory/hosts.yml").write_text(
        "all: {hosts: {mac-01: {ansible_host: 203.0.113.1, arms: [container]}}}\n"
    )

    def trusting(mode="required", **keys):
        (tmp_path / "images.yml").write_text(
            json.dumps(
                {
                    "images": {"engine": {"reference": f"{registry}/signed:v1"}},
                    "registries": {registry: {"plain_http": True}},
                    "signatures": {"mode": mode, "keys": {name: pem(key) for name, key in keys.items()}},
                }
            )
        )

    trusting(release=KEY)
    return tmp_path, trusting


@pytest.fixture
def image(pusher, request):
    """An image of this test alone; returns the digests of its index and of its manifest."""
    manifest = pusher.image("signed", files={"name": request.node.name.encode()})
    top = index(entry(manifest, "linux/arm64"))
    pusher.manifest("signed", top, "v1")
    return sha256(top), sha256(manifest)


@pytest.fixture
def pin(fleet, capsys):
    def run(command="pin"):
        with pytest.raises(SystemExit) as ended:
            main(["image", command, "--fleet", str(fleet[0])])
        return ended.value.code, " ".join(capsys.readouterr().err.split())

    return run


@pytest.mark.parametrize("at", [0, 1], ids=["index", "manifest"])
def test_an_image_that_a_trusted_key_signed_is_pinned(image, signer, pin, at):
    signer.bundled(image[at], bundle(image[at]))
    assert pin() == (0, "")
    assert pin("verify")[0] == 0


def test_the_older_form_of_signature_counts_too(image, signer, pin):
    signer.older(image[0], *simple(image[0]))
    assert pin() == (0, "")


def test_one_signature_by_a_trusted_key_is_enough(image, signer, pin):
    signer.bundled(image[0], bundle(image[0], STRANGER), bundle(image[0]))
    assert pin() == (0, "")


OTHER = sha256(b"another image")
CERTIFICATE = {"certificate": {"rawBytes": "AA=="}}
REFUSED = {
    "nothing": ([], "it has no signature"),
    "a stranger": ([lambda digest: bundle(digest, STRANGER)], "no key that is trusted signed it"),
    "another image": ([lambda _: bundle(OTHER)], "it signs another image"),
    "another statement": ([lambda digest: bundle(digest, predicate="https://slsa.dev/provenance/v1")], "predicateType"),
    "a certificate": ([lambda digest: bundle(digest, **CERTIFICATE)], "signed by a certificate"),
    "no bundle": ([lambda _: b"{}"], "is not of its form"),
    "no JSON": ([lambda _: b"\xff"], "is not JSON"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_every_other_image_is_refused_and_nothing_is_locked(image, signer, pin, fleet, case):
    bundles, words = REFUSED[case]
    if bundles:
        signer.bundled(image[0], *(made(image[0]) for made in bundles))
    code, err = pin()
    assert (code, "E0739" in err) == (7, True)
    assert words in err
    assert not (fleet[0] / "images.lock").exists()


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda digest: simple(digest, STRANGER), "no key that is trusted signed it"),
        (lambda _: simple(OTHER), "it signs another image"),
        (lambda digest: (simple(digest)[0], "?"), "base64"),
        (lambda digest: (simple(OTHER)[0], simple(digest)[1]), "no key that is trusted signed it"),
    ],
)
def test_the_older_form_is_held_to_the_same(image, signer, pin, made, words):
    signer.older(image[0], *made(image[0]))
    code, err = pin()
    assert (code, words in err) == (7, True)


@pytest.mark.parametrize(
    ("mode", "keys", "signature", "code"),
    [
        ("when_present", {"release": KEY}, None, 0),
        ("when_present", {"release": KEY}, KEY, 0),
        ("when_present", {"release": KEY}, STRANGER, 7),
        ("when_present", {}, STRANGER, 0),
        ("ignore", {"release": KEY}, STRANGER, 0),
        ("required", {}, KEY, 7),
    ],
)
def test_signatures_count_as_images_yml_says(image, signer, pin, fleet, mode, keys, signature, code):
    if signature is not None:
        signer.bundled(image[0], bundle(image[0], signature))
    fleet[1](mode, **keys)
    assert pin()[0] == code


def test_a_signature_that_is_asked_for_later_is_missed_by_verify(image, pin, fleet):
    fleet[1]("when_present")
    assert pin() == (0, "")
    fleet[1]("required", release=KEY)
    code, err = pin("verify")
    assert (code, "it has no signature" in err) == (7, True)


def test_a_key_that_cannot_be_used_is_refused_with_its_line(image, pin, fleet):
    path = fleet[0] / "images.yml"
    path.write_text(path.read_text().replace("BEGIN PUBLIC KEY", "BEGIN NOTHING"))
    code, err = pin()
    assert (code, "E0741" in err, "key release cannot check a signature" in err) == (2, True, True)
