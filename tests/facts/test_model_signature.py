"""Signatures of models: one of another tool is believed, and every change to it is noticed."""

import base64
import contextlib
import hashlib
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from macfleet.facts.model_signature import SignatureRefused, Signed, key_problem, verify_signature

# Written by the model-signing library 1.1.1 with a P-256 key: config.json and 64 zero bytes.
CASE = Path(__file__).parents[1] / "cases" / "model_signing"
BUNDLE = (CASE / "model.sig").read_bytes()
TRUSTED = (CASE / "trusted.pem").read_text()
FILES = {
    "config.json": hashlib.sha256(b'{"a":1}').hexdigest(),
    "sub/model.gguf": hashlib.sha256(bytes(64)).hexdigest(),
}
KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def pem(private):
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    return private.public_key().public_bytes(serialization.Encoding.PEM, kind).decode()


def statement(files=FILES, **changes):
    together = hashlib.sha256(b"".join(bytes.fromhex(digest) for digest in files.values())).hexdigest()
    resources = [{"name": name, "algorithm": "sha256", "digest": each} for name, each in files.items()]
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "model", "digest": {"sha256": together}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {"serialization": {"method": "files"}, "resources": resources},
        **changes,
    }


def sign(payload, private=KEY):
    kind = b"application/vnd.in-toto+json"
    signed = b" ".join([b"DSSEv1", str(len(kind)).encode(), kind, str(len(payload)).encode(), payload])
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return private.sign(signed)
    sizes = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}
    return private.sign(signed, ec.ECDSA(sizes[private.curve.key_size]))


def bundle(document=None, private=KEY, **envelope):
    payload = json.dumps(document or statement()).encode()
    return json.dumps(
        {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {"publicKey": {"hint": "k"}, "tlogEntries": []},
            "dsseEnvelope": {
                "payload": base64.b64encode(payload).decode(),
                "payloadType": "application/vnd.in-toto+json",
                "signatures": [{"sig": base64.b64encode(sign(payload, private)).decode(), "keyid": ""}],
                **envelope,
            },
        }
    ).encode()


def test_a_signature_of_the_model_signing_library_is_believed():
    assert verify_signature(BUNDLE, {"other": pem(KEY), "publisher": TRUSTED}) == Signed("publisher", FILES)


@pytest.mark.parametrize(
    "private",
    [KEY, ec.derive_private_key(7, ec.SECP256R1()), ec.derive_private_key(7, ec.SECP384R1()), ec.derive_private_key(7, ec.SECP521R1())],
    ids=["ed25519", "p256", "p384", "p521"],
)  # fmt: skip
def test_keys_of_every_kind_sign_models(private):
    assert verify_signature(bundle(private=private), {"us": pem(private)}) == Signed("us", FILES)


def without_files(document):
    document["predicate"]["resources"] = []
    return document


REFUSED = {
    "nobody is trusted": (bundle(), {}, "no key is trusted"),
    "signed by a stranger": (bundle(), {"publisher": TRUSTED}, "no key that is trusted signed it"),
    "another payload under the signature": (
        bundle(payload=base64.b64encode(json.dumps(statement({"a": "0" * 64})).encode()).decode()),
        {"us": pem(KEY)},
        "no key that is trusted signed it",
    ),
    "a payload of another kind": (bundle(payloadType="text/plain"), {"us": pem(KEY)}, "payloadType"),
    "no signature": (bundle(signatures=[]), {"us": pem(KEY)}, "signatures"),
    "a payload that is no base64": (bundle(payload="§"), {"us": pem(KEY)}, "base64 cannot be read"),
    "a certificate": (
        json.dumps({**json.loads(bundle()), "verificationMaterial": {"certificate": {}}}).encode(),
        {"us": pem(KEY)},
        "signed by a certificate",
    ),
    "another statement": (
        bundle(statement(predicateType="https://slsa.dev/provenance/v1")),
        {"us": pem(KEY)},
        "predicateType",
    ),
    "files that are not the subject": (
        bundle(statement(subject=[{"name": "model", "digest": {"sha256": "0" * 64}}])),
        {"us": pem(KEY)},
        "do not hash to the digest of the whole model",
    ),
    "no files": (bundle(without_files(statement())), {"us": pem(KEY)}, "resources"),
    "not JSON": (b"{", {"us": pem(KEY)}, "not JSON"),
    "a list": (b"[]", {"us": pem(KEY)}, "not of its form"),
    "too long": (b" " * (2**20 + 1), {"us": pem(KEY)}, "longer than 1048576 bytes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_signature_that_proves_nothing_is_refused(name):
    text, keys, words = REFUSED[name]
    with pytest.raises(SignatureRefused, match=words):
        verify_signature(text, keys)


@given(place=st.integers(0, len(BUNDLE) - 1), byte=st.integers(0, 255))
def test_one_changed_byte_never_changes_what_is_signed(place, byte):
    changed = BUNDLE[:place] + bytes([byte]) + BUNDLE[place + 1 :]
    with contextlib.suppress(SignatureRefused):
        assert verify_signature(changed, {"publisher": TRUSTED}).files == FILES


@given(st.binary(max_size=300))
def test_any_bytes_are_a_refusal(data):
    with pytest.raises(SignatureRefused):
        verify_signature(data, {"publisher": TRUSTED})


def test_keys_that_cannot_be_used_are_told_apart():
    assert key_problem(TRUSTED) == ""
    assert key_problem("secret") == "it is no public key in PEM"
    assert key_problem(pem(rsa.generate_private_key(65537, 2048))) == (
        "it is neither an Ed25519 nor an ECDSA key"
    )
    assert key_problem(pem(ec.derive_private_key(7, ec.SECP256K1()))) == "curve secp256k1 is not read"
