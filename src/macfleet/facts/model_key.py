"""Public keys that sign models: Ed25519, and ECDSA over the curves that OpenSSF model signing uses."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

_CURVES = {"secp256r1": hashes.SHA256(), "secp384r1": hashes.SHA384(), "secp521r1": hashes.SHA512()}


def read_key(pem: str) -> Ed25519PublicKey | EllipticCurvePublicKey:
    """Return a public key (raises ValueError with what is wrong with it)."""
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("it is no public key in PEM") from error
    if isinstance(key, EllipticCurvePublicKey):
        if key.curve.name not in _CURVES:
            raise ValueError(f"curve {key.curve.name} is not read")
        return key
    if isinstance(key, Ed25519PublicKey):
        return key
    raise ValueError("it is neither an Ed25519 nor an ECDSA key")


def is_signed_by(key: Ed25519PublicKey | EllipticCurvePublicKey, signature: bytes, signed: bytes) -> bool:
    """Whether the key made the signature; the digest of ECDSA follows the curve."""
    try:
        if isinstance(key, Ed25519PublicKey):
            key.verify(signature, signed)
        else:
            key.verify(signature, signed, ECDSA(_CURVES[key.curve.name]))
    except InvalidSignature:
        return False
    return True
