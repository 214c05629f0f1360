"""A registry that lies, stalls, loops or fishes for passwords: each ends in its own diagnostic."""

import base64
import itertools
import json

import pytest
from image_pusher import OCI_INDEX, OCI_MANIFEST, entry, image, index, sha256

from macfleet.model.diagnostic import MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.secret import Secret
from macfleet.registry import Credential, RegistryResolver

MIB = 1024 * 1024


def resolver_for(hostile, clock, **arguments):
    return RegistryResolver(clock=clock, plain_http=[hostile.host], **arguments)


def resolve(hostile, clock, name="v1", **arguments):
    mark = "@" if name.startswith("sha256:") else ":"
    resolver = resolver_for(hostile, clock, **arguments)
    try:
        return resolver.resolve(f"{hostile.host}/image{mark}{name}", "linux/arm64")
    finally:
        resolver.close()


def refusal(hostile, clock, name="v1", **arguments):
    with pytest.raises(MacfleetError) as caught:
        resolve(hostile, clock, name, **arguments)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.exit_code is ExitCode.HELD
    return diagnostic


def manifest_answer(hostile, body, media_type=OCI_MANIFEST, **more):
    hostile.answers["/v2/image/manifests/v1"] = {
        "body": body,
        "headers": {"Content-Type": media_type, **more.pop("headers", {})},
        **more,
    }


def changed(manifest, **values):
    return json.dumps(json.loads(manifest) | values).encode()


def deep():
    return b"[" * 100_000


HONEST, BLOBS = image()
CONFIG = json.loads(HONEST)["config"]["digest"]


@pytest.mark.parametrize(
    ("body", "media_type", "code", "words"),
    [
        (b"", OCI_MANIFEST, "E0607", "not JSON"),
        (b"{", OCI_MANIFEST, "E0607", "not JSON"),
        (b"\xff\xfe", OCI_MANIFEST, "E0607", "not JSON"),
        (deep(), OCI_MANIFEST, "E0607", "not JSON"),
        (b"[]", OCI_MANIFEST, "E0607", "document"),
        (b'{"schemaVersion":1,"name":"x"}', "application/json", "E0607", "schemaVersion"),
        (changed(HONEST, mediaType="text/html"), "text/html", "E0607", "text/html"),
        (HONEST, OCI_INDEX, "E0607", "calls itself"),
        (changed(HONEST, manifests=[]), OCI_MANIFEST, "E0607", "index and manifest at once"),
        (changed(HONEST, config={"digest": "md5:0", "size": 1}), OCI_MANIFEST, "E0607", "config.digest"),
        (changed(HONEST, layers=[{"digest": CONFIG, "size": -1}]), OCI_MANIFEST, "E0607", "layers.0.size"),
        (changed(HONEST, layers=[{"digest": CONFIG, "size": True}]), OCI_MANIFEST, "E0607", "layers.0.size"),
        (changed(HONEST, layers=[]), OCI_MANIFEST, "E0607", "1 layers, the manifest 0"),
        (b"x" * (5 * MIB), OCI_MANIFEST, "E0607", "larger than"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(body, media_type, code, words, hostile, clock):
    hostile.serve()
    manifest_answer(hostile, body, media_type)
    found = refusal(hostile, clock)
    assert found.code == code
    assert words in found.summary


def test_an_endless_manifest_is_cut(hostile, clock):
    manifest_answer(hostile, itertools.repeat(b" " * 65536))
    assert "larger than" in refusal(hostile, clock).summary


def test_a_manifest_that_trickles_past_the_deadline_is_given_up(hostile, clock):
    def trickle():
        for _ in range(1000):
            clock.time += 10
            yield b" "

    manifest_answer(hostile, trickle())
    found = refusal(hostile, clock)
    assert found.code == "E0606"
    assert "too slowly" in found.summary


def test_other_bytes_behind_a_digest_are_found(hostile, clock):
    other, _ = image(platform="linux/amd64")
    hostile.answers[f"/v2/image/manifests/{sha256(HONEST)}"] = {
        "body": other,
        "headers": {"Content-Type": OCI_MANIFEST},
    }
    assert refusal(hostile, clock, sha256(HONEST)).code == "E0604"


def test_a_lying_digest_header_is_found(hostile, clock):
    hostile.serve()
    manifest_answer(hostile, HONEST, headers={"Docker-Content-Digest": sha256(b"other")})
    assert refusal(hostile, clock).code == "E0604"


def test_a_size_that_lies_is_found(hostile, clock):
    hostile.serve()
    lie = entry(HONEST, "linux/arm64") | {"size": len(HONEST) + 1}
    hostile.manifest(index(lie))
    assert refusal(hostile, clock).code == "E0604"


@pytest.mark.parametrize("body", [b"", b"{}", BLOBS[CONFIG] + b" ", BLOBS[CONFIG][:-1]])
def test_a_config_that_is_not_its_digest_is_found(body, hostile, clock):
    hostile.serve()
    hostile.answers[f"/v2/image/blobs/{CONFIG}"] = {"body": body}
    assert refusal(hostile, clock).code == "E0604"


def test_a_config_that_breaks_off_is_tried_again_and_then_held(hostile, clock):
    hostile.serve()
    broken = {"body": BLOBS[CONFIG][:5], "length": len(BLOBS[CONFIG])}
    hostile.answers[f"/v2/image/blobs/{CONFIG}"] = broken
    assert "broke off" in refusal(hostile, clock).summary
    hostile.answers[f"/v2/image/blobs/{CONFIG}"] = [broken, {"body": BLOBS[CONFIG]}]
    assert resolve(hostile, clock).config == CONFIG


def test_a_chain_of_indices_is_followed_only_so_far(hostile, clock):
    top = HONEST
    hostile.serve()
    for _ in range(40):
        top = index(entry(top, "linux/arm64" if top is HONEST else ""))
        hostile.manifest(top)
    found = refusal(hostile, clock)
    assert found.code == "E0607"
    assert len(hostile.seen) < 20


def test_a_crowd_of_indices_is_looked_into_only_so_far(hostile, clock):
    inner = [index(entry(HONEST, f"linux/v{number}")) for number in range(200)]
    for each in inner:
        hostile.manifest(each)
    hostile.manifest(index(*(entry(each, "") for each in inner)))
    assert refusal(hostile, clock).code == "E0607"
    assert len(hostile.seen) < 20


def test_a_redirect_that_never_ends_is_refused(hostile, clock):
    hostile.answers["/v2/image/manifests/v1"] = {"status": 307, "headers": {"Location": "v1"}}
    assert refusal(hostile, clock).code == "E0608"


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/x", "file:///etc/passwd"])
def test_a_redirect_off_the_web_is_refused(location, hostile, clock):
    hostile.answers["/v2/image/manifests/v1"] = {"status": 302, "headers": {"Location": location}}
    assert refusal(hostile, clock).code == "E0608"


# Patience


def test_a_registry_that_asks_to_wait_is_waited_for(hostile, clock):
    hostile.serve()
    honest = hostile.answers["/v2/image/manifests/v1"]
    busy = {"status": 429, "headers": {"Retry-After": "7"}}
    hostile.answers["/v2/image/manifests/v1"] = [busy, busy, honest]
    assert resolve(hostile, clock).manifest == sha256(HONEST)
    assert clock.slept == [7.0, 7.0]


def test_retry_after_may_be_a_date(hostile, clock):
    hostile.serve()
    honest = hostile.answers["/v2/image/manifests/v1"]
    told = {"Retry-After": "Fri, 31 Dec 2099 23:59:59 GMT"}
    hostile.answers["/v2/image/manifests/v1"] = [{"status": 503, "headers": told}, honest]
    found = refusal(hostile, clock)
    assert found.code == "E0606"
    assert clock.slept == []


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_passing_failures_are_tried_again(status, hostile, clock):
    hostile.serve()
    honest = hostile.answers["/v2/image/manifests/v1"]
    hostile.answers["/v2/image/manifests/v1"] = [{"status": status}] * 3 + [honest]
    assert resolve(hostile, clock).manifest == sha256(HONEST)
    assert clock.slept == [0.25, 0.5, 1.0]


def test_a_registry_that_asks_for_too_much_patience_is_given_up_at_once(hostile, clock):
    busy = {"status": 429, "headers": {"Retry-After": "3600"}}
    hostile.answers["/v2/image/manifests/v1"] = busy
    found = refusal(hostile, clock)
    assert found.code == "E0606"
    assert "3600 s" in found.summary
    assert clock.slept == []


@pytest.mark.parametrize("status", [400, 405, 418])
def test_other_refusals_are_not_tried_again(status, hostile, clock):
    hostile.answers["/v2/image/manifests/v1"] = {"status": status}
    assert refusal(hostile, clock).code == "E0607"
    assert len(hostile.seen) == 1


# Passwords

LOGIN = Credential("fleet", Secret("hunter2"))
BASIC = f"Basic {base64.b64encode(b'fleet:hunter2').decode()}"


def guarded(answer, wanted, challenge):
    """Answer only requests that carry the wanted Authorization."""

    def judge(headers):
        refused = {"status": 401, "headers": {"WWW-Authenticate": challenge}}
        return answer if headers.get("Authorization") == wanted else refused

    return judge


def guard(hostile, wanted, challenge):
    for path, answer in hostile.answers.items():
        hostile.answers[path] = guarded(answer, wanted, challenge)


def bearer(realm):
    return f'Bearer realm="{realm}",service="registry",scope="repository:image:pull"'


def test_a_token_is_fetched_once_and_used_for_the_whole_repository(hostile, clock):
    hostile.serve()
    guard(hostile, "Bearer secret-token", bearer(f"http://{hostile.host}/token"))
    hostile.answers["/token"] = guarded({"body": b'{"token":"secret-token"}'}, BASIC, "Basic")
    found = resolve(hostile, clock, credentials={hostile.host: LOGIN})
    assert found.manifest == sha256(HONEST)
    tokens = [path for path in hostile.paths() if path.startswith("/token")]
    assert tokens == ["/token?service=registry&scope=repository%3Aimage%3Apull"]


def test_without_a_login_a_token_is_asked_for_anonymously(hostile, clock):
    hostile.serve()
    guard(hostile, "Bearer anonymous", bearer(f"http://{hostile.host}/token"))
    hostile.answers["/token"] = {"body": b'{"access_token":"anonymous"}'}
    assert resolve(hostile, clock).manifest == sha256(HONEST)


def test_basic_works_where_a_registry_wants_it(hostile, clock):
    hostile.serve()
    guard(hostile, BASIC, 'Basic realm="registry"')
    assert resolve(hostile, clock, credentials={hostile.host: LOGIN}).manifest == sha256(HONEST)


def test_a_token_that_went_stale_is_fetched_again(hostile, clock):
    hostile.serve()
    resolver = resolver_for(hostile, clock)
    honest = dict(hostile.answers)
    for token in ("first", "second"):
        hostile.answers = dict(honest)
        guard(hostile, f"Bearer {token}", bearer(f"http://{hostile.host}/token"))
        hostile.answers["/token"] = {"body": json.dumps({"token": token}).encode()}
        assert resolver.resolve(f"{hostile.host}/image:v1", "linux/arm64").manifest == sha256(HONEST)
    resolver.close()


@pytest.mark.parametrize(
    ("challenge", "words"),
    [
        ("Negotiate", "not Bearer or Basic"),
        ("", "not Bearer or Basic"),
        ("Basic", "wants a login and there is none"),
        ('Bearer realm="nowhere"', "not on HTTPS"),
        ('Bearer realm="ftp://127.0.0.1/token"', "not on HTTPS"),
        ("Bearer", "not on HTTPS"),
    ],
)
def test_a_challenge_that_cannot_be_met_is_held(challenge, words, hostile, clock):
    hostile.answers["/v2/image/manifests/v1"] = guarded({}, "never", challenge)
    found = refusal(hostile, clock)
    assert found.code == "E0605"
    assert words in found.summary


@pytest.mark.parametrize("status", [401, 403])
def test_a_login_that_is_refused_is_held(status, hostile, clock):
    hostile.answers["/v2/image/manifests/v1"] = {"status": status, "headers": {"WWW-Authenticate": "Basic"}}
    found = refusal(hostile, clock, credentials={hostile.host: LOGIN})
    assert found.code == "E0605"
    assert "hunter2" not in str(found)


@pytest.mark.parametrize("body", [b"{}", b"no json", b'{"token":"a\\r\\nX-Evil: 1"}', b'{"token":7}'])
def test_a_token_service_that_gives_no_usable_token_is_held(body, hostile, clock):
    hostile.answers["/v2/image/manifests/v1"] = guarded({}, "never", bearer(f"http://{hostile.host}/token"))
    hostile.answers["/token"] = {"body": body}
    assert "without a usable token" in refusal(hostile, clock).summary


@pytest.mark.parametrize("kind", ["basic", "bearer"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_sees_no_authorization(kind, status, hostile, elsewhere, clock):
    hostile.serve()
    elsewhere.answers["/config"] = {"body": BLOBS[CONFIG]}
    away = {"status": status, "headers": {"Location": f"http://{elsewhere.host}/config"}}
    hostile.answers[f"/v2/image/blobs/{CONFIG}"] = away
    if kind == "basic":
        guard(hostile, BASIC, "Basic")
    else:
        guard(hostile, "Bearer t", bearer(f"http://{hostile.host}/token"))
        hostile.answers["/token"] = {"body": b'{"token":"t"}'}
    assert resolve(hostile, clock, credentials={hostile.host: LOGIN}).config == CONFIG
    assert elsewhere.paths() == ["/config"]
    assert elsewhere.authorizations() == [None]


def test_a_redirect_to_another_port_sees_no_authorization(hostile, clock):
    hostile.serve()
    guard(hostile, BASIC, "Basic")
    with type(hostile)() as other:
        other.answers["/config"] = {"body": BLOBS[CONFIG]}
        away = {"status": 307, "headers": {"Location": f"http://{other.host}/config"}}
        hostile.answers[f"/v2/image/blobs/{CONFIG}"] = guarded(away, BASIC, "Basic")
        resolve(hostile, clock, credentials={hostile.host: LOGIN})
        assert other.authorizations() == [None]


def test_a_login_is_not_sent_to_a_token_service_elsewhere(hostile, elsewhere, clock):
    hostile.answers["/v2/image/manifests/v1"] = guarded({}, "never", bearer(f"http://{elsewhere.host}/token"))
    found = refusal(hostile, clock, credentials={hostile.host: LOGIN})
    assert found.code == "E0605"
    assert "may not see your login" in found.summary
    assert elsewhere.seen == []


def test_a_login_goes_to_a_token_service_elsewhere_when_it_is_listed(hostile, elsewhere, clock):
    hostile.serve()
    guard(hostile, "Bearer t", bearer(f"http://{elsewhere.host}/token"))
    elsewhere.answers["/token"] = {"body": b'{"token":"t"}'}
    login = Credential("fleet", Secret("hunter2"), realms=(elsewhere.host,))
    assert resolve(hostile, clock, credentials={hostile.host: login}).manifest == sha256(HONEST)
    assert elsewhere.authorizations() == [BASIC]


def test_a_login_for_one_registry_is_not_shown_to_another(hostile, clock):
    hostile.answers["/v2/image/manifests/v1"] = guarded({}, "never", "Basic")
    refusal(hostile, clock, credentials={"registry.example": LOGIN})
    assert hostile.authorizations() == [None]
