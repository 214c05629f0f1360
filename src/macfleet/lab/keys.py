"""The lab's client key."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def client_key(state_dir: Path) -> tuple[Path, str]:
    """Return the lab's private key file and its public line, made unless they are there."""
    private = state_dir / "id_ed25519"
    public = private.with_suffix(".pub")
    if not (private.exists() and public.exists()):
        state_dir.mkdir(parents=True, exist_ok=True)
        key = Ed25519PrivateKey.generate()
        private.touch(mode=0o600)
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
            )
        )
        line = key.public_key().public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        )
        public.write_text(f"{line.decode()} macfleet-lab\n")
    return private, public.read_text().strip()
