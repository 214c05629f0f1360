"""The table of hostile registries: each case ends in a diagnostic of its own, and no login leaves its host."""

import base64
import itertools
import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from image_pusher import ATTESTATION, OCI_INDEX, OCI_MANIFEST, entry, image, index, sha256

from macfleet.model.diagnostic import MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.secret import Secret
from macfleet.registry import Credential, OciSources, RegistryResolver

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "registry-refusals.md"
LOGIN = Credential("fleet", Secret("hunter2"))
BASIC = f"Basic {base64.b64encode(b'fleet:hunter2').decode()}"
TOKEN = "a-token-of-the-registry"  # noqa: S105 (made up)
V1 = "/v2/image/manifests/v1"
HONEST, BLOBS = image()
CONFIG = json.loads(HONEST)["config"]["digest"]
LAYER = json.loads(HONEST)["layers"][0]["digest"]
FOREIGN, _ = image(platform="linux/amd64")


@dataclass(frozen=True)
class World:
    """A registry that wants a login for everything, a server elsewhere, and a clock."""

    registry: object
    elsewhere: object
    clock: object

    def answer(self, path, **answer):
        """Give an answer, to those who show the login; others are asked for it."""
        self.registry.answers[path] = guarded(answer)

    def manifest(self, body, media_type=OCI_MANIFEST, **headers):
        self.answer(V1, body=body, headers={"Content-Type": media_type, **headers})

    def away(self, status=307, path="/taken"):
        return {"status": status, "headers": {"Location": f"http://{self.elsewhere.host}{path}"}}

    def challenge(self, header):
        self.registry.answers[V1] = {"status": 401, "headers": {"WWW-Authenticate": header}}


def guarded(answer):
    def judge(headers):
        asked = {"status": 401, "headers": {"WWW-Authenticate": "Basic"}}
        return answer if headers.get("Authorization") == BASIC else asked

    return judge


def changed(**values):
    return json.dumps(json.loads(HONEST) | values).encode()


def nested(world):
    top = HONEST
    for _ in range(20):
        top = index(entry(top, "linux/arm64" if top is HONEST else ""))
        world.answer(f"/v2/image/manifests/{sha256(top)}", body=top, headers={"Content-Type": OCI_INDEX})
    world.manifest(top, OCI_INDEX)


def trickle(world):
    def chunks():
        for _ in range(1000):
            world.clock.time += 10
            yield b" "

    world.registry.answers[V1] = {"body": chunks(), "headers": {"Content-Type": OCI_MANIFEST}}


def lying_entry(world):
    world.manifest(index(entry(HONEST, "linux/arm64") | {"size": len(HONEST) + 1}), OCI_INDEX)


def lying_platform(world):
    manifest, blobs = image(platform="linux/amd64")
    digest = json.loads(manifest)["config"]["digest"]
    world.answer(f"/v2/image/blobs/{digest}", body=blobs[digest])
    world.answer(
        f"/v2/image/manifests/{sha256(manifest)}", body=manifest, headers={"Content-Type": OCI_MANIFEST}
    )
    world.manifest(index(entry(manifest, "linux/arm64")), OCI_INDEX)


def fishing_redirect(world):
    """The registry redirects, and the other place asks for a login."""
    asks = f'Bearer realm="http://{world.elsewhere.host}/token",service="registry"'
    world.elsewhere.answers["/taken"] = {"status": 401, "headers": {"WWW-Authenticate": asks}}
    world.elsewhere.answers["/token"] = {"body": b'{"token":"caught"}'}
    world.registry.answers[V1] = world.away()


def token_that_injects(world):
    world.challenge(f'Bearer realm="http://{world.registry.host}/token"')
    world.registry.answers["/token"] = {"body": b'{"token":"x\\r\\nX-Evil: 1"}'}


def token_service_that_redirects(world):
    world.challenge(f'Bearer realm="http://{world.registry.host}/token"')
    world.registry.answers["/token"] = world.away(302, "/token")


# In the order of the page: what the registry does, the code, words of the summary or the reason, how.
CASES = [
    ("The manifest is not JSON", "E0607", "it is not JSON", lambda w: w.manifest(b"{")),
    ("The manifest never ends", "E0607", "it is larger than", lambda w: w.manifest(itertools.repeat(b" " * 65536))),
    ("The manifest trickles in past the deadline", "E0606", "trickles in too slowly", trickle),
    ("The manifest breaks off", "E0606", "the answer broke off", lambda w: w.answer(V1, body=HONEST[:20], length=len(HONEST))),
    ("Body and header name different media types", "E0607", "but calls itself", lambda w: w.manifest(HONEST, OCI_INDEX)),
    ("The media type is no image", "E0607", "is not an image index or manifest", lambda w: w.manifest(changed(mediaType="text/html"), "text/html")),
    ("Index and manifest at once", "E0607", "it is index and manifest at once", lambda w: w.manifest(changed(manifests=[]))),
    ("A layer of negative size", "E0607", "layers.0.size", lambda w: w.manifest(changed(layers=[{"digest": LAYER, "size": -1}]))),
    ("A layer more than the config knows", "E0607", "layers, the manifest", lambda w: w.manifest(changed(layers=json.loads(HONEST)["layers"] * 2))),
    ("Indices inside indices without end", "E0607", "it nests more than", nested),
    ("The header names another digest", "E0604", "the registry calls it", lambda w: w.manifest(HONEST, **{"Docker-Content-Digest": sha256(b"")})),
    ("Other bytes behind a pinned digest", "E0604", "the manifest's bytes have digest", lambda w: w.answer(f"/v2/image/manifests/{sha256(HONEST)}", body=FOREIGN, headers={"Content-Type": OCI_MANIFEST})),
    ("The index lies about a size", "E0604", "bytes, the index says", lying_entry),
    ("Another config behind its digest", "E0604", "bytes were promised", lambda w: w.answer(f"/v2/image/blobs/{CONFIG}", body=BLOBS[CONFIG][:-1] + b" ")),
    ("A layer longer than promised", "E0604", "more than the promised", lambda w: w.answer(f"/v2/image/blobs/{LAYER}", body=BLOBS[LAYER] + b"x")),
    ("Only another platform", "E0603", "is not built for linux/arm64; it offers linux/amd64", lambda w: w.manifest(index(entry(FOREIGN, "linux/amd64")), OCI_INDEX)),
    ("Only attestations", "E0603", "it offers no platform at all", lambda w: w.manifest(index(entry(HONEST, "unknown/unknown", ATTESTATION)), OCI_INDEX)),
    ("The index lies about the platform", "E0603", "config says linux/amd64", lying_platform),
    ("A redirect that never ends", "E0608", "a 6th place", lambda w: w.answer(V1, status=307, headers={"Location": "v1"})),
    ("A redirect off the web", "E0608", "redirects to file://", lambda w: w.answer(V1, status=302, headers={"Location": "file:///etc/passwd"})),
    ("A redirect to a place that asks for a login", "E0605", "may not see your login", fishing_redirect),
    ("A token service on another host", "E0605", "may not see your login", lambda w: w.challenge(f'Bearer realm="http://{w.elsewhere.host}/token"')),
    ("A token service that redirects elsewhere", "E0607", "the registry answered with status 302", token_service_that_redirects),
    ("A token service off the web", "E0605", "is not on HTTPS", lambda w: w.challenge('Bearer realm="ftp://127.0.0.1/token"')),
    ("A token that would inject a header", "E0605", "without a usable token", token_that_injects),
    ("An authentication nobody asked for", "E0605", "is not Bearer or Basic", lambda w: w.challenge("Negotiate")),
    ("The login is refused", "E0605", "status 401", lambda w: w.challenge("Basic")),
    ("It asks for an hour of patience", "E0606", "it asks to wait 3600 s", lambda w: w.answer(V1, status=429, headers={"Retry-After": "3600"})),
    ("It fails again and again", "E0606", "status 503", lambda w: w.answer(V1, status=503)),
    ("It does not know the image", "E0602", "is not in the registry", lambda w: w.answer(V1, status=404)),
    ("It answers with a joke", "E0607", "the registry answered with status 418", lambda w: w.answer(V1, status=418)),
]  # fmt: skip
BY_DIGEST = {"Other bytes behind a pinned digest", "A layer longer than promised"}


@pytest.fixture
def world(hostile, elsewhere, clock):
    hostile.serve()
    hostile.answers = {path: guarded(answer) for path, answer in hostile.answers.items()}
    elsewhere.answers["/taken"] = {"body": b"{}"}
    return World(hostile, elsewhere, clock)


def refused(world, *, by_digest):
    """Resolve and stream the image with a login; return what it ends in."""
    host = world.registry.host
    resolver = RegistryResolver(clock=world.clock, plain_http=[host], credentials={host: LOGIN})
    pinned = f"{host}/image@{sha256(HONEST)}"
    try:
        with pytest.raises(MacfleetError) as caught:
            list(
                OciSources(resolver).open(f"oci:{pinned}|linux/arm64|{pinned}")
            ) if by_digest else resolver.resolve(f"{host}/image:v1", "linux/arm64")
    finally:
        resolver.close()
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


@pytest.mark.parametrize(("name", "code", "words", "arrange"), CASES, ids=[case[0] for case in CASES])
def test_a_hostile_registry_ends_in_its_own_diagnostic_and_gets_no_login(name, code, words, arrange, world):
    arrange(world)
    found = refused(world, by_digest=name in BY_DIGEST)
    assert (found.code, found.exit_code) == (code, ExitCode.HELD)
    assert words in f"{found.summary} {found.why}"
    assert found.why
    assert found.mend
    told = f"{found.summary} {found.why} {found.mend}"
    assert not [secret for secret in ("hunter2", BASIC, TOKEN) if secret in told]
    for path, headers in world.elsewhere.seen:
        said = f"{path} {headers}"
        assert "Authorization" not in headers
        assert not [secret for secret in ("hunter2", BASIC, TOKEN) if secret in said]
    for path, headers in world.registry.seen:
        assert "hunter2" not in path
        assert "X-Evil" not in headers


def test_a_redirect_elsewhere_is_followed_without_the_login(world):
    world.elsewhere.answers["/taken"] = {"body": BLOBS[CONFIG]}
    world.answer(f"/v2/image/blobs/{CONFIG}", **world.away())
    resolver = RegistryResolver(
        clock=world.clock, plain_http=[world.registry.host], credentials={world.registry.host: LOGIN}
    )
    assert resolver.resolve(f"{world.registry.host}/image:v1", "linux/arm64").config == CONFIG
    resolver.close()
    assert [(path, headers.get("Authorization")) for path, headers in world.elsewhere.seen] == [
        ("/taken", None)
    ]
    assert world.registry.authorizations()[-1] == BASIC


def test_a_place_a_redirect_led_to_gets_no_token_either(world):
    """A token travels like a login: to the registry's own origin and nowhere else."""
    host = world.registry.host
    asks = {"status": 401, "headers": {"WWW-Authenticate": f'Bearer realm="http://{host}/token"'}}
    honest = {"body": HONEST, "headers": {"Content-Type": OCI_MANIFEST}}

    def by_token(answer):
        return lambda headers: answer if headers.get("Authorization") == f"Bearer {TOKEN}" else asks

    world.registry.answers = {
        "/token": guarded({"body": json.dumps({"token": TOKEN}).encode()}),
        V1: by_token(honest),
        f"/v2/image/blobs/{CONFIG}": by_token(world.away()),
    }  # fmt: skip
    world.elsewhere.answers["/taken"] = {"body": BLOBS[CONFIG]}
    resolver = RegistryResolver(clock=world.clock, plain_http=[host], credentials={host: LOGIN})
    assert resolver.resolve(f"{host}/image:v1", "linux/arm64").config == CONFIG
    resolver.close()
    assert [headers.get("Authorization") for _, headers in world.elsewhere.seen] == [None]


def test_the_page_holds_the_table():
    rows = re.findall(
        r"^\| ([^|]+?) \| (E\d{4}) \| `([^`|]+)` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert rows == [(name, code, words) for name, code, words, _ in CASES]


def test_every_case_is_told_from_every_other():
    """Two share words: where a login would go elsewhere is one refusal, however it was asked for."""
    told = [(code, words) for _, code, words, _ in CASES]
    assert len(set(told)) == len(told) - 1
    assert len(told) > 20
