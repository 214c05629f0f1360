"""Logins at a real registry with passwords, beside places that must not see them."""

import pytest

from macfleet.model.diagnostic import MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.secret import Secret
from macfleet.registry import Credential, OciSources, RegistryResolver

pytestmark = pytest.mark.slow
PLATFORM = "linux/arm64"


@pytest.fixture
def client(closed, hostile, clock):
    """Make a client that asks a recording mirror, then the closed registry, with these credentials."""
    host, _, _ = closed
    made = []

    def make(credentials):
        made.append(
            RegistryResolver(
                clock=clock, plain_http=[host, hostile.host], credentials=credentials, mirrors={host: [hostile.host]}
            )
        )  # fmt: skip
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize("user", ["builder", "reader"])
def test_whoever_may_log_in_gets_the_image_and_the_mirror_never_sees_the_login(closed, hostile, client, user):
    host, pinned, users = closed
    found = client({host: Credential(user, Secret(users[user]))})
    assert found.resolve(pinned, PLATFORM).pinned == pinned
    parts = OciSources(found).parts(f"oci:{pinned}|{PLATFORM}|{pinned}")
    assert all(len(b"".join(part.open(0))) == part.size for part in parts)
    assert hostile.paths()
    assert set(hostile.authorizations()) == {None}


@pytest.mark.parametrize(
    "login",
    [
        pytest.param(None, id="none"),
        pytest.param(("reader", "wrong"), id="wrong password"),
        pytest.param(("stranger", "readers:own=2"), id="unknown user"),
    ],
)
def test_whoever_may_not_is_refused_and_the_login_is_not_repeated(closed, hostile, client, login):
    host, pinned, _ = closed
    credentials = {host: Credential(login[0], Secret(login[1]))} if login else {}
    with pytest.raises(MacfleetError) as caught:
        client(credentials).resolve(pinned, PLATFORM)
    [found] = caught.value.diagnostics
    assert (found.code, found.exit_code) == ("E0605", ExitCode.HELD)
    assert host in f"{found.summary} {found.mend}"
    assert login is None or login[1] not in repr(found)
    assert set(hostile.authorizations()) == {None}


def test_a_login_declared_for_the_mirror_goes_to_the_mirror_alone(closed, hostile, client):
    host, pinned, users = closed
    hostile.answers[f"/v2/kept/manifests/{pinned.partition('@')[2]}"] = {
        "status": 401,
        "headers": {"WWW-Authenticate": "Basic realm=x"},
    }
    own, near = Credential("reader", Secret(users["reader"])), Credential("near", Secret("of-the-mirror"))
    assert client({host: own, hostile.host: near}).resolve(pinned, PLATFORM).pinned == pinned
    assert set(hostile.authorizations()) == {None, near.basic()}
