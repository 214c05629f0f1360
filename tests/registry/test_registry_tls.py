"""Registries with TLS: whom to believe, and no way down from it."""

import datetime as dt
import ipaddress
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hostile_registry import HostileRegistry
from image_pusher import image, sha256

from macfleet.model.diagnostic import MacfleetError
from macfleet.registry import RegistryResolver

HONEST, BLOBS = image()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate for 127.0.0.1: path of the PEM file with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "registry.example")])
    start = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "registry.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(signed.public_bytes(serialization.Encoding.PEM) + private)
    return path


@pytest.fixture
def secure(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with HostileRegistry(tls=context) as each:
        each.serve()
        yield each


@pytest.fixture
def resolve(clock, secure):
    resolvers = []

    def resolved():
        resolvers.append(RegistryResolver(clock=clock))
        return resolvers[-1].resolve(f"{secure.host}/image:v1", "linux/arm64")

    yield resolved
    for each in resolvers:
        each.close()


def test_an_authority_the_operator_trusts_is_trusted(secure, certificate, resolve, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert resolve().manifest == sha256(HONEST)


def test_a_certificate_nobody_vouches_for_is_refused(secure, resolve):
    with pytest.raises(MacfleetError) as caught:
        resolve()
    assert caught.value.diagnostics[0].code == "E0606"
    assert "certificate" in caught.value.diagnostics[0].summary.lower()
    assert secure.seen == []


@pytest.mark.parametrize("part", ["manifests/v1", "blobs"])
def test_a_redirect_from_tls_to_plain_http_is_refused(
    part, secure, elsewhere, certificate, resolve, monkeypatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    for path in list(secure.answers):
        if path.startswith(f"/v2/image/{part}"):
            secure.answers[path] = {"status": 307, "headers": {"Location": f"http://{elsewhere.host}/x"}}
    with pytest.raises(MacfleetError) as caught:
        resolve()
    assert caught.value.diagnostics[0].code == "E0608"
    assert elsewhere.seen == []


def test_a_token_service_without_tls_gets_nothing(secure, elsewhere, certificate, resolve, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    challenge = f'Bearer realm="http://{elsewhere.host}/token",service="registry"'
    secure.answers["/v2/image/manifests/v1"] = {"status": 401, "headers": {"WWW-Authenticate": challenge}}
    with pytest.raises(MacfleetError) as caught:
        resolve()
    assert caught.value.diagnostics[0].code == "E0605"
    assert elsewhere.seen == []
